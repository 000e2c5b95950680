"""What a network makes of its training samples, class by class."""
