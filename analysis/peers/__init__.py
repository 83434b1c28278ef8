"""The same figures as other tools define them."""
