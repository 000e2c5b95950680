"""Which published claims the runs of the store bear out."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import ClaimsOptions

HELP = """Judge published claims by finished runs: PASS, FAIL or NOT RUN, with the margin.

\b
The claims are a file; each names a grid beside it, whose runs decide, wherever in the experiment
they were made. A scale says on which data and network. The margin is positive where a claim holds;
with it comes its 95 % interval over originals. The exit status is 1 unless all claims pass.

\b
  mlflow run . -e sweep -P grid=paper/main.yaml,paper/cpu/fashion_mnist.yaml
  mlflow run . -e claims -P scale=paper/cpu/fashion_mnist.yaml
"""

build = fixed_command("claims", HELP, "mu.tasks.claims.run:claims", ClaimsOptions)

if __name__ == "__main__":
    run(build)
