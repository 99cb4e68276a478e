"""What `evaluate.py` puts together: by whom a model is judged, its edits, and what its places give away."""
