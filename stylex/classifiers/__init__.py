"""Any frozen classifier behind one face."""
