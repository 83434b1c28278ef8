"""One output format a file: text, JSON, Markdown."""
