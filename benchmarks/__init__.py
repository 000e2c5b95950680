"""Programs that print the figures of the documentation; each says how to start it."""
