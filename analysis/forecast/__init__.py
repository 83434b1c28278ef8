"""What a step would take after each fix."""
