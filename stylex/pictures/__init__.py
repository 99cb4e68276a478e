"""Pictures in and out: reading them, and drawing what was found."""
