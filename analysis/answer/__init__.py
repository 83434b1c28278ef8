"""The verdict: what the step is bound by, in sentences."""
