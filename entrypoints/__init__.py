"""MLflow's entry points: a file each, with its help, its options and one call of a task.

They run from the project's root, as ``mlflow run . -e NAME`` or ``python -m entrypoints.NAME``, and
nothing imports them.
"""
