"""Tests that look at our pages in a real browser."""
