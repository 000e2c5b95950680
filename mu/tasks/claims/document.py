"""The claims file: what was published, of which runs, and what would make it hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from mu.errors import UserError, unknown
from mu.readers.documents import read_yaml
from mu.readers.paths import checked_path

TESTS = ("falls", "at_most", "exceeds", "within", "ratio", "agrees")
Where = Mapping[str, Any]  # settings by name, of which runs have them all


@dataclass(frozen=True)
class Claim:
    """One published claim."""

    claim: str  # in words
    source: str  # where it is published
    grid: str  # the file, beside that of the claims, whose runs decide; with a ``scale`` added
    metric: str  # of those runs
    # How it is decided: one of :data:`TESTS`, by name, with what it needs
    test: tuple[str, Mapping[str, Any]]
    published: str = ""  # the numbers there
    # Which runs of the grid: settings of the original, ``method``, ``preset``, and ``forget``, of
    # which the beginning is enough.
    where: Where = field(default_factory=dict)

    @classmethod
    def of(cls, written: Any, number: int) -> Claim:
        """Read one entry of the file; UserError if it is not written as it has to be."""
        owner = f"claim {number}"
        if not isinstance(written, Mapping):
            raise UserError(f"{owner}: {written!r} is no claim; write claim, source, grid, metric")
        tests = [name for name in TESTS if name in written]
        known = [one.name for one in fields(cls) if one.name != "test"]
        for name in written:
            if name not in (*known, *TESTS):
                raise unknown(f"key of {owner}", str(name), [*known, *TESTS])
        if len(tests) != 1:
            raise UserError(
                f"{owner}: give one of {', '.join(TESTS)}, which decides whether it holds"
            )
        given = {name: value for name, value in written.items() if name in known}
        missing = [name for name in ("claim", "source", "grid", "metric") if name not in given]
        if missing:
            raise UserError(f"{owner}: {missing[0]} is missing")
        test = written[tests[0]]
        for name, value in {"where": given.get("where", {}), tests[0]: test}.items():
            if not isinstance(value, Mapping):
                raise UserError(f"{owner}: {name}={value!r} has to be a mapping")
        return cls(**given, test=(tests[0], test))


def read_claims(path: Path) -> list[Claim]:
    """The claims of a file; UserError if it cannot be read, or holds something else."""
    try:
        document = read_yaml(checked_path("claims", path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise UserError(
            f"claims={str(path)!r} cannot be read: {error}; give claims=FILE.yaml"
        ) from error
    if not isinstance(document, list) or not document:
        raise UserError(f"claims={str(path)!r} is no list of claims")
    return [Claim.of(one, number) for number, one in enumerate(document, 1)]
