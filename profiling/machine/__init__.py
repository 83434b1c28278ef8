"""The machine as it matters to a training step."""
