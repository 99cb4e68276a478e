"""The options of the scripts, and how they are read."""
