"""Measure the model of a finished run: attacks, distance to its oracle, plots."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import DeviceOptions, EvaluateOptions

HELP = """Measure an unlearned model, and compare it with its oracle.

\b
The metrics are logged in a new run and, unless add=false, added to the measured run as well.
`mu metrics` lists all of them with their definitions.

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
