"""Two sides, before and after."""
