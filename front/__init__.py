"""What app.py is made of: the models to choose from, the answers, what is shown, and the door."""
