"""Scripts that train, search, measure and publish; run them with `python` or `accelerate launch` from anywhere."""
