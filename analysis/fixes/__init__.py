"""What could be changed: each fix as a change of the graph."""
