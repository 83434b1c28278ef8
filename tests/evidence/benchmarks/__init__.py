"""Benchmarks: ``python -m tests.evidence.benchmarks`` runs every ``bench_*.py`` here and prints a table of ratios.

Ratios within one run are comparable between machines; seconds are not. No test asserts a time.
"""
