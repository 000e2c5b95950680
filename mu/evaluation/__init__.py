"""Evaluation: returns named numbers and logs nothing."""

PARTS = ("forget", "retain", "test")  # that models are compared on, and endings of names
