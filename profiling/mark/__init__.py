"""Marks of the attribution window: which line called, which module ran."""
