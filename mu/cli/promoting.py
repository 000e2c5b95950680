"""``mu promote``: an alias is moved to a version of a registered model whose evidence holds."""

from __future__ import annotations

import click

from mu.registry import load

PROMOTE = "mu.tasks.erase.gate:promote"
HELP = """Let ALIAS stand for VERSION, a registered model's: models:/cats/3.

A version that an erasure made is taken only if its evidence verifies and its verdict allows it; one
that an erasure retired, since it holds records that were to be forgotten, is refused.

\b
  mu promote models:/cats/3 production
"""


@click.command("promote", help=HELP, short_help="Move an alias to a version whose evidence holds.")
@click.argument("version", metavar="VERSION")
@click.argument("alias", metavar="ALIAS")
def command(version: str, alias: str) -> None:
    """Move it."""
    from mu.tracking import connect

    click.echo(load(PROMOTE)(connect(), version, alias))
