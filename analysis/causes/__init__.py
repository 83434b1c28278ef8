"""What costs time, by name, with its evidence and advice."""
