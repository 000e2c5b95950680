"""Engines: where the tasks of a sweep run. A small file for each, behind one interface."""

ENGINES = ("local", "processes", "ray")
