"""Forecasts beside what came: one format a module, each found by its file's name (see ``formats``)."""
