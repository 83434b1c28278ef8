"""What the CPU does: products by the shapes of their operators, the whole run by looks at it."""
