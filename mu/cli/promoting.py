"""``mu promote``: an alias is moved to a version of a registered model whose evidence holds."""

from __future__ import annotations

from pathlib import Path

import click

from mu.registry import load

PROMOTE = "mu.tasks.erase.gate:promote"
HELP = """Let ALIAS stand for VERSION, a registered model's: models:/cats/3.

A version that an erasure made is taken only if its evidence verifies and its verdict allows it; one
that an erasure retired, since it holds records that were to be forgotten, is refused.

\b
  mu promote models:/cats/3 production --key controller.pub.pem
"""


@click.command("promote", help=HELP, short_help="Move an alias to a version whose evidence holds.")
@click.argument("version", metavar="VERSION")
@click.argument("alias", metavar="ALIAS")
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Public key that must have signed the evidence; several times: one of them. Without it "
    "nobody checks who signed, or whether anybody did.",
)
def command(version: str, alias: str, keys: tuple[Path, ...]) -> None:
    """Move it."""
    from mu.evidence.signing import load_public_key
    from mu.report.console import print_words
    from mu.tracking import connect

    given = [load_public_key(one) for one in keys]
    print_words(load(PROMOTE)(connect(), version, alias, given))
