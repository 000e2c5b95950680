"""``mu verify``: whether a bundle of evidence is whole, signed, and says what follows from it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from mu.errors import one_line
from mu.registry import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mu.evidence.bundle import Bundle
    from mu.evidence.signing import PublicKey
    from mu.evidence.verify import Check

NOT_VERIFIED = 1
REDO = "mu.tasks.erase.deep:redo"
LIMIT = (
    "It does not prove that the records were forgotten: weights alone cannot show that, and who "
    "made the bundle could have made up its outputs."
)
HELP = """Check the evidence of an erasure, a folder or the zip of it: files, digests, signatures,
its place in the log, times, and that numbers and verdict follow from the outputs in it. Needs
neither a network nor the store. The exit status is 0 if all of it holds, and 1 if anything does
not.

\b
  mu verify evidence.zip --key controller.pub.pem
  mu verify evidence/ --key controller.pub.pem --model model/    also: is it on this model?
  mu verify evidence/ --after old/evidence/      also: did the log only grow since that one?
  mu verify evidence/ --deep       also, where the store is: does unlearning give this model?
"""


@click.command("verify", help=HELP, short_help="Check the evidence of an erasure.")
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--key",
    "keys",
    multiple=True,
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Public key by which it must be signed; several times: by each of them.",
)
@click.option("--unsigned", is_flag=True, help="Accept a bundle without a signature.")
@click.option(
    "--model",
    metavar="FOLDER",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Artifacts of a run, or a checkpoint: must be the model that the evidence is on.",
)
@click.option(
    "--after",
    metavar="OLDER",
    type=click.Path(path_type=Path),
    help="An older bundle of the same store, which you have: the log must have grown from its.",
)
@click.option(
    "--deep", is_flag=True, help="Unlearn again from the original, in the store; compare the bits."
)
@click.option(
    "--data-dir",
    metavar="PATH",
    type=click.Path(path_type=Path),
    help="With --deep: where the data is, if it has moved.",
)
def command(
    path: Path,
    keys: tuple[Path, ...],
    unsigned: bool,
    model: Path | None,
    after: Path | None,
    deep: bool,
    data_dir: Path | None,
) -> None:
    """Print what was checked, and what that proves."""
    from mu.evidence.bundle import ENVELOPE
    from mu.evidence.model_files import model_check
    from mu.evidence.signing import load_public_key
    from mu.evidence.verify import after_check
    from mu.report.console import print_words

    bundle = verified_bundle(path, [load_public_key(one) for one in keys], unsigned=unsigned)
    if model is not None and not printed(model_check(bundle, model)).ok:
        fail(["model"])
    if after is not None and not printed(after_check(bundle, _read(after, "after"))).ok:
        fail(["after"])
    if deep and not printed(_redone(bundle, data_dir)).ok:
        fail(["deep"])
    print_words(f"It verifies. {_proof(ENVELOPE in bundle.files, bool(keys))} {LIMIT}")


def verified_bundle(path: Path, keys: Sequence[PublicKey], *, unsigned: bool = False) -> Bundle:
    """The bundle, if it verifies; else the process ends. Each check is printed."""
    from mu.evidence.verify import checks

    bundle = _read(path)
    from mu.erasure.effect import recompute  # loads torch

    done = checks(bundle, keys=keys, unsigned=unsigned, recompute=recompute)
    if wrong := [check.name for check in map(printed, done) if not check.ok]:
        fail(wrong)
    return bundle


def _read(path: Path, name: str = "files") -> Bundle:
    """The bundle of a folder or a zip; else the process ends, and a check of that name is wrong."""
    from mu.evidence.bundle import Bundle
    from mu.evidence.verify import Check

    try:
        return Bundle.read(path)
    except ValueError as error:
        printed(Check(name, False, one_line(str(error))))
        fail([name])


def _redone(bundle: Bundle, data_dir: Path | None) -> Check:
    """Whether the unlearning gives the same bits once more."""
    from mu.evidence.bundle import STATEMENT
    from mu.evidence.statement import read_statement
    from mu.evidence.verify import Check

    _, predicate = read_statement(bundle.files[STATEMENT])
    why = load(REDO)(predicate, None if data_dir is None else str(data_dir))
    return Check("deep", not why, why or "unlearning again gives the same weights, to the bit")


def printed(check: Check) -> Check:
    """A check in a line."""
    from mu.report.console import print_words

    print_words(check.detail, f"  {check.name:<10}  {'ok' if check.ok else 'WRONG':<5}  ")
    return check


def fail(wrong: Sequence[str]) -> NoReturn:
    """Say that a bundle does not verify, and end the process."""
    from mu.report.console import print_words

    print_words(f"It does not verify ({', '.join(wrong)}), so it proves nothing.")
    sys.exit(NOT_VERIFIED)


def _proof(signed: bool, named: bool) -> str:
    """What it proves, in a sentence."""
    follows = "the numbers and the verdict follow from the outputs and thresholds in it"
    if not signed:
        return f"It is not signed, so anybody can have made it; {follows}."
    if named:
        return f"Who has the given key states this about these bytes, and {follows}."
    return (
        f"Somebody whose key is shown above states this about these bytes, and {follows}. Whose "
        "key it is, only --key can tell, with a public key that you have from its owner."
    )
