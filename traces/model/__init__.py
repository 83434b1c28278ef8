"""What a trace is: columns, the names of the format, issues, errors, the manifest."""
