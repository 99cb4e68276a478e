"""Model folders, their cards, and the Hub."""
