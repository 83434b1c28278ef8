"""Small traces of this project, each with a line in README.md on how it was made."""
