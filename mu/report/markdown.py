"""Tables and foreign text in Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
_INSIDE_A_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")


def escape(text: str) -> str:
    """Text that means itself; ``l1_sparse`` stays as it is, since that is no emphasis."""
    one_line = " ".join(text.split())
    return _INSIDE_A_WORD.sub("_", _SPECIAL.sub(r"\\\1", one_line))


def markdown_table(
    names: Sequence[str], rows: Sequence[Sequence[str]], labels: Sequence[str] = ()
) -> str:
    """A table of texts that are Markdown already: columns to the right, labels to the left.

    Parameters
    ----------
    labels
        Of the rows, if they have any.
    """
    rule = "|---|" if labels else "|"
    lines = [["", *names] if labels else names]
    lines += [[label, *row] for label, row in zip(labels, rows, strict=True)] if labels else rows
    head, *body = (f"| {' | '.join(line)} |".replace("|  |", "| |") for line in lines)
    return "\n".join([head, rule + "---:|" * len(names), *body]) + "\n"
