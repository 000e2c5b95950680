"""Attack an unlearned model with reference models, to find what it still reveals."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import DeviceOptions, LiraOptions

HELP = """Attack an unlearned model with reference models (LiRA, U-LiRA, RMIA).

\b
Each reference is trained by the original's recipe on the retain set, a random half of the
forget set and as many test images; the run's method then unlearns that half. The attacks are
applied to the original, the unlearned model and the oracle. Each reference costs one training
from scratch and one unlearning. An interrupted run can be resumed.

\b
  python -m entrypoints.lira --unlearn_run_id ID
  mlflow run . -e lira -P unlearn_run_id=ID -P references=64
  mlflow run . -e lira -P resume_run_id=ID
"""

build = fixed_command("lira", HELP, "mu.tasks.lira:lira", LiraOptions, DeviceOptions)

if __name__ == "__main__":
    run(build)
