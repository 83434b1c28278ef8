"""Variants run in turn: one format a module, each found by its file's name (see ``formats``)."""
