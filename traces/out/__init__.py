"""Copies of a trace: with events of ours added, or with all names taken out."""
