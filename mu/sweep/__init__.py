"""Sweeps: a grid of settings becomes a plan of runs, which engines then make.

Knows neither MLflow nor the command line: what a run is and how it is made is the caller's.
"""
