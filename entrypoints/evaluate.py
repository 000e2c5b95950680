"""Measure a model that was made before: attacks, distance to its oracle, plots."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import DeviceOptions, EvaluateOptions

HELP = """Measure an unlearned model, and compare it with its oracle.

\b
What is measured is logged in a run of its own and, unless add=false, added to the run that
was measured. `mu metrics` lists every number with its definition.

\b
  python -m entrypoints.evaluate --run_id ID
  mlflow run . -e evaluate -P run_id=ID -P metrics=relearn,tow
  mlflow run . -e evaluate -P run_id=ID -P metrics=klom -P run_ids=ID,ID -P oracle_run_ids=ID,ID
  python -m entrypoints.evaluate --checkpoint DIR --forget class:3 --oracle_run_id ID
"""

build = fixed_command(
    "evaluate", HELP, "mu.tasks.evaluate:evaluate", EvaluateOptions, DeviceOptions
)

if __name__ == "__main__":
    run(build)
