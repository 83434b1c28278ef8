"""Blocks of text → a ``Trace``: every spelling, unit and missing field of the format ends here."""
