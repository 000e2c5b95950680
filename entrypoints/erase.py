"""Answer a deletion request: unlearn records, measure it, and hand over evidence."""

from __future__ import annotations

from collections.abc import Sequence

import click

from mu.cli.entry import entry_command
from mu.cli.main import run
from mu.cli.options import Group, peek
from mu.cli.requests import AUTO_METHOD, DeviceOptions, EraseOptions
from mu.methods import check_method, method_class

HELP = """Answer a deletion request: from a list of records to a model without them, with evidence.

\b
Finds the records and their copies, and every model of the store that was trained on them; lets the
model forget them; measures, for each record and in all, whether an attack still finds them; and
writes a bundle of evidence, which `mu verify` checks offline. Models that are not replaced are
marked as retired.

\b
  python -m entrypoints.erase --records request-17.csv --prune_run_id ID --key key.pem
  mlflow run . -e erase -P records=request-17.csv -P model=models:/cats@production \\
    -P key=key.pem -P promote=production -P purge=true
"""


def build(arguments: Sequence[str]) -> click.Command:
    """The command, with the options of the method that ``arguments`` name."""
    method = peek(arguments, "method", AUTO_METHOD)
    own = [] if method == AUTO_METHOD else [Group(method_class(check_method(method)))]
    groups = {
        "entry": [Group(EraseOptions, heading="Deletion request")],
        "method": own,
        "device": [Group(DeviceOptions)],
    }
    return entry_command("erase", HELP, groups, "mu.tasks.erase.run:erase")


if __name__ == "__main__":
    run(build, launches=False)  # what it signs and logs is of one process
