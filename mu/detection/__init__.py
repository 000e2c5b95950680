"""Detection: which training samples are poisoned, where nobody says so."""
