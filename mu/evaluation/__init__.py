"""Evaluation: returns named numbers and logs nothing."""
