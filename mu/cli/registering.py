"""``mu register``: a finished run as a version of a registered model."""

from __future__ import annotations

import click

HELP = """Make the network of a finished run a new version of the registered model NAME, as the
option register=NAME does at the end of a run.

\b
  mu register 31e9601a digits
"""


@click.command("register", help=HELP, short_help="Make a run a version of a registered model.")
@click.argument("run_id", metavar="RUN_ID")
@click.argument("name", metavar="NAME")
def command(run_id: str, name: str) -> None:
    """Do it, and say which version it is."""
    from mu.report.console import print_words
    from mu.tracking import connect
    from mu.tracking.registered import register, run_of

    store = connect()
    version = register(store, run_of(store, run_id), name)
    print_words(f"run {version.run_id}: {version}; {version.uri}")
