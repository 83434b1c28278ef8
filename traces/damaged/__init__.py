"""Text that is no valid JSON, or hides something: what can be made out of it, and mending it."""
