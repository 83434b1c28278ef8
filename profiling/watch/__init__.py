"""Seeing the steps of a training without touching it."""
