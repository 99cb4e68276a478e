"""What find_attributes.py decides and shows."""
