"""The run folder: who writes what, when, and where there is room."""
