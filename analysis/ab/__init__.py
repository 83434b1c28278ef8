"""Deciding between two variants of a training that were run in turn."""
