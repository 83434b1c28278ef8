"""Trace in, values out. Prints nothing, plots nothing, writes nothing."""
