"""What the stages found, written into the contract."""
