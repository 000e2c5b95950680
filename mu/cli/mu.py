"""The small ``mu`` command."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mu import __version__
from mu.cli import (
    completion,
    diffing,
    exporting,
    importing,
    listing,
    promoting,
    registering,
    seeds,
    showing,
    signing,
    verifying,
)
from mu.cli.main import run
from mu.cli.options import Late
from mu.tags import ENTRY, HOST

HELP = """Machine unlearning of image classifiers: prune first, then unlearn.

The work itself is started by `mlflow run . -e prune` and `mlflow run . -e unlearn`, or by
`python -m entrypoints.prune` and `python -m entrypoints.unlearn`; this command looks at what
came of it.

\b
  mu runs --entry unlearn --sort gap   the best unlearning first
  mu show ID                           one run, from its data to its oracle
  mu diff ID ID                        in what two runs differ
  mu register ID NAME                  make a run a version of a registered model
  mu export ID --out FOLDER            its network as files, without what is dead in it
  mu metrics                           what each number means
  mu verify evidence.zip               check the evidence of an erasure
  mu doctor                            close runs whose process or machine is gone
  mu sync                              deliver what a store did not take
"""


@click.group(
    help=HELP, context_settings={"help_option_names": ["--help", "-h"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="mu")
def mu() -> None:
    """Run the `mu` command."""


@mu.command()
@click.option(
    "--orphan-hours",
    default=1.0,
    show_default=True,
    help="A run whose program never started is dead when it is older than this.",
)
@click.option(
    "--host", metavar="NAME", help="A machine that is gone: its silent runs are dead, too."
)
def doctor(orphan_hours: float, host: str | None) -> None:
    """Create the store where it is missing, and close runs whose process is gone."""
    from mu.tracking import close_dead_runs, connect
    from mu.tracking.address import shown
    from mu.tracking.lease import remedy_elsewhere
    from mu.tracking.resuming import RESUMABLE

    store = connect()
    click.echo(f"store {shown(store.uri)}, experiment {store.experiment_id}")
    running = close_dead_runs(store, orphan_hours, host)
    words = {
        "dead": "its process is gone: closed as FAILED ({})",
        "alive": "is running",
        "unknown": "RUNNING, but nothing says in which process; left alone",
    }
    for one, verdict in running:
        entry = one.tags.get(ENTRY) or one.tags.get("mlflow.project.entryPoint", "?")
        again = "its entry goes on with resume_run_id"
        if entry not in RESUMABLE:
            again = "it keeps no progress: start the same command again"
        text = words.get(verdict, "").format(again) or (
            f"runs on {one.tags[HOST]}; left alone ({remedy_elsewhere(one.tags)})"
        )
        click.echo(f"{one.run_id}  {entry}  {one.name}: {text}")
    if not running:
        click.echo("no run is RUNNING")


@mu.command()
@click.argument("folders", nargs=-1, type=click.Path(path_type=Path))
def sync(folders: tuple[Path, ...]) -> None:
    """Deliver what a store did not take when runs ended: FOLDERS, or all that are found."""
    from mu.tracking.kept import deliver, kept_folders
    from mu.tracking.store import connect

    waiting = folders or kept_folders()
    if not waiting:
        click.echo("nothing waits to be delivered")
        return
    store = connect()
    for folder in waiting:
        click.echo(deliver(store, folder))


@mu.command()
@click.option("--markdown", is_flag=True, help="As a page of Markdown: docs/metrics.md.")
def metrics(markdown: bool) -> None:
    """List every metric: unit, which direction is better, definition and source."""
    from mu.report.metrics import catalogue_page, print_catalogue

    if markdown:
        click.echo(catalogue_page(), nl=False)
    else:
        print_catalogue()


mu.add_command(Late("import", importing.SHORT_HELP, importing.build))
mu.add_command(Late("export", exporting.SHORT_HELP, exporting.build))
mu.add_command(seeds.command)
mu.add_command(listing.command)
mu.add_command(showing.command)
mu.add_command(diffing.command)
mu.add_command(promoting.command)
mu.add_command(registering.command)
mu.add_command(verifying.command)
mu.add_command(signing.keygen)
mu.add_command(signing.countersign)
mu.add_command(completion.command)


def main() -> None:
    """Start the command; the console script."""
    run(lambda _arguments: mu, sys.argv[1:])


if __name__ == "__main__":
    main()
