"""What we say while a script runs, and where."""
