"""How a classifier learns, what it is shown on the way, how sure it may be; and how one unlearns."""
