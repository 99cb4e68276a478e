"""What the page's events do, a class for each part of the page.

Models are shared and never changed; what a visitor has chosen comes with the event. An answer is a list in the order of
the components that app.py names for it; `ON_GPU` are those that run a network.
"""
