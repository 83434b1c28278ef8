"""The JSON contracts as types."""
