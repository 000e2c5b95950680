"""MLflow's entry points: parse, track, load, call one verb, evaluate, save.

They run from the project's root, as ``mlflow run . -e NAME`` or ``python -m entrypoints.NAME``.
"""
