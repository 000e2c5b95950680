"""Compare finished runs: the paper's table, figures, a page, and a summary in words."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import CompareOptions

HELP = """Compare finished unlearn and backdoor runs: tables, figures and a page.

\b
One row for each method, the oracle first; columns UA, MIA, RA, TA, gap and RTE on dense and on
sparse originals, as mean and standard deviation over seeds. Runs that cannot be compared get
separate tables. The page is the artifact report/report.html.

\b
  python -m entrypoints.compare                       (all finished runs of the experiment)
  mlflow run . -e compare -P run_ids=ID,ID,ID
  mlflow run . -e compare -P parent=ID                (the runs below a run)
  mlflow run . -e compare -P experiment=NAME
"""

build = fixed_command("compare", HELP, "mu.tasks.compare:compare", CompareOptions)

if __name__ == "__main__":
    run(build)
