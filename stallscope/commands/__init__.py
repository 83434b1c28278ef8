"""One command a module: what it does, without its options."""
