"""Search a method's settings by what all methods stop by, without an oracle."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.groups import method_named, unlearning_groups
from mu.cli.main import run
from mu.cli.options import Group
from mu.cli.requests import TuneOptions

HELP = """Search the settings of a method, and print the unlearn command with the best ones.

\b
Trials are judged by the criterion that all methods stop by: it sees retain, forget and validation
images, no test image and no oracle. Trial 0 has the method's defaults: what tuning has to beat. A
setting of the method that is given is fixed. With target=class:5, trials forget that set instead
and are judged by the gap to its oracle: an upper bound. The same command continues an interrupted
search.

\b
  mlflow run . -e tune -P prune_run_id=ID -P method=l1_sparse -P forget=class:3 -P trials=20
  mlflow run . -e tune -P prune_run_id=ID -P method=ft -P search="lr=0.01:1 momentum=0,0.9"
  mlflow run . -e tune -P prune_run_id=ID -P method=ft -P forget=class:3 -P target=class:5
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method and pruner that ``arguments`` name."""
    method = method_named(arguments, "resume_run_id", "mu.tasks.tune.run:method_of_interrupted")
    groups = {
        "entry": [Group(TuneOptions, heading="Search")],
        **unlearning_groups(method, arguments),
    }
    return entry_command(f"tune with method={method}", HELP, groups, "mu.tasks.tune.run:tune")


if __name__ == "__main__":
    run(build)
