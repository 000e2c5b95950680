"""Put finished runs beside each other: the paper's table, figures, a page, and what they say."""

from mu.cli.entry import fixed_command
from mu.cli.main import run
from mu.cli.requests import CompareOptions

HELP = """Compare finished unlearn and backdoor runs: tables, figures and a page.

\b
Rows are methods, columns UA, MIA, RA, TA, gap and RTE on dense and on sparse originals, mean and
deviation over seeds, the oracle first. Runs that cannot be compared are never mixed: each group
gets a table of its own. The page is report/report.html among the run's artifacts.

\b
  python -m entrypoints.compare                       (all finished runs of the experiment)
  mlflow run . -e compare -P run_ids=ID,ID,ID
  mlflow run . -e compare -P parent=ID                (the runs below a run)
  mlflow run . -e compare -P experiment=NAME
"""

build = fixed_command("compare", HELP, "mu.tasks.compare:compare", CompareOptions)

if __name__ == "__main__":
    run(build)
