"""What methods that need it run: when to stop, the search of a scale, an epoch of ascent."""
