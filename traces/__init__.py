"""What a trace is: the format's border, columns, run folders. Knows nothing of torch, nor of analysis."""
