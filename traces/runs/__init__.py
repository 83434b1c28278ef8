"""A path → runs, their workers (ranks), and the spans that each recorded."""
