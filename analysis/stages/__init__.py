"""The stages: each a function from a trace, and what stages before it found, to one frozen type."""
