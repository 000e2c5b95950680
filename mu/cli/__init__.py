"""The command line: the only part of mu that knows click."""
