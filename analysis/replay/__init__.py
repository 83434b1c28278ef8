"""The step as a graph, replayed: what it would take if something cost nothing."""
