"""What an earlier version wrote stays readable."""
