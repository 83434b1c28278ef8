"""What kind of file a trace is, and how far its rows can be trusted."""
