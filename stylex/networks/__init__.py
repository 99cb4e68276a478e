"""The networks with weights of ours, and the eye that is lent to them."""
