"""Sweeps: a grid becomes a plan of tasks, which engines perform in runs of their own."""
