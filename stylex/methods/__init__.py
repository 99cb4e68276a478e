"""Other ways to explain a decision, each a change of the style coordinates (`Edit`) or a map of the picture (`Map`)."""
