"""``mu keygen`` and ``mu countersign``: keys, and a further signature under a bundle."""

from __future__ import annotations

from pathlib import Path

import click

from mu.cli.verifying import verified_bundle
from mu.errors import UserError

KEYGEN_HELP = """Make a key that signs evidence (ECDSA P-256): the private one in PATH, which only
its owner can read, and the public one beside it, which is for everybody.

\b
  mu keygen key.pem        writes key.pem and key.pub.pem
"""
COUNTERSIGN_HELP = """Check the evidence of an erasure as `mu verify` does, and sign it as well, by
a key of your own. What was signed, and who signed before, stays the same.

\b
  mu countersign evidence/ --key auditor.pem
"""


@click.command("keygen", help=KEYGEN_HELP, short_help="Make a key that signs evidence.")
@click.argument("path", type=click.Path(path_type=Path))
def keygen(path: Path) -> None:
    """Write both files, and say what each is for."""
    from mu.evidence.signing import key_id, new_key, save_key
    from mu.report.console import print_wrapped

    key = new_key()
    public = save_key(path, key)
    print_wrapped(
        {
            "private": f"{path}: signs (-P key={path}); give it to nobody, and keep a copy safe",
            "public": f"{public}: verifies (mu verify ... --key {public}); give it to everybody",
            "key ID": key_id(key.public_key()),
        }
    )


@click.command(
    "countersign", help=COUNTERSIGN_HELP, short_help="Sign somebody's evidence, once it verifies."
)
@click.argument("path", type=click.Path(path_type=Path))
@click.option(
    "--key", required=True, metavar="FILE", type=click.Path(path_type=Path), help="Private key."
)
def countersign(path: Path, key: Path) -> None:
    """Print the checks, and write the envelope anew."""
    from mu.evidence.bundle import write_envelope
    from mu.evidence.signing import key_id, load_private_key
    from mu.report.console import print_words

    private = load_private_key(key)
    bundle = verified_bundle(path, [])
    try:
        signed = bundle.countersigned(private)
    except ValueError as error:
        raise UserError(f"{path}: {error}; give another key") from error
    write_envelope(path, signed)
    print_words(f"{path} is signed by key {key_id(private.public_key())}, too.")
