"""What is looked at, not read: timelines, tracks, histograms."""
