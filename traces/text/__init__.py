"""A file → blocks of its text, bounded, with what is damaged counted."""
