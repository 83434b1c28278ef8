"""What each vendor calls its API: the only place that knows raw names of calls."""
