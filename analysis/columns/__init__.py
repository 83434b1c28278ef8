"""Arithmetic on columns: intervals, nesting, choosing rows, aligning sequences."""
