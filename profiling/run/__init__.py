"""A script from its start to its end, recorded."""
