"""The search for the style coordinates that change a decision, and its page."""
