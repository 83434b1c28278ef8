"""Pages that need nothing else: no network, no files beside them."""
