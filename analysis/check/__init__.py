"""Budgets per step, held against what a trace counts. Exact counts, and ranges where they are predicted."""
