"""Windows: what is recorded, when, and for how long."""
