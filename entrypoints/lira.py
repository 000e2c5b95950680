"""Attack an unlearned model with reference models, to see what it still tells of what it forgot."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import DeviceOptions, LiraOptions

HELP = """Attack an unlearned model with reference models (LiRA, U-LiRA, RMIA).

\b
Each reference is trained by the original's recipe on the retain set and a random half of
the forget set and as many test images; then the run's own method makes it forget that half.
The attacks judge the original, the unlearned model and the oracle. A run costs as many
times an oracle and an unlearning as there are references; interrupted, it goes on.

\b
  python -m entrypoints.lira --unlearn_run_id ID
  mlflow run . -e lira -P unlearn_run_id=ID -P references=64
  mlflow run . -e lira -P resume_run_id=ID
"""

build = fixed_command("lira", HELP, "mu.tasks.lira:lira", LiraOptions, DeviceOptions)

if __name__ == "__main__":
    run(build)
