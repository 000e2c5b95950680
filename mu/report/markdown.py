"""Tables and foreign text in Markdown."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

_SPECIAL = re.compile(r"([\\`*_\[\]<>|#~$&])")
_INSIDE_A_WORD = re.compile(r"(?<=[A-Za-z0-9])\\_(?=[A-Za-z0-9])")


def escape(text: str) -> str:
    """Text that means itself; ``l1_sparse`` stays as it is, since that is no emphasis."""
    one_line = " ".join(text.split())
    return _INSIDE_A_WORD.sub("_", _SPECIAL.sub(r"\\\1", one_line))


def markdown_table(columns: Sequence[str], rows: Iterable[Sequence[str]], layout: str) -> str:
    """A table of texts that are Markdown already, with a line break at its end.

    ``layout``: a letter for each column: ``l`` for words, ``r`` for numbers, to the right.
    """
    head, *body = (f"| {' | '.join(line)} |".replace("|  |", "| |") for line in (columns, *rows))
    rule = "".join({"l": "---|", "r": "---:|"}[place] for place in layout)
    return "\n".join([head, f"|{rule}", *body, ""])


def items(texts: Mapping[str, str]) -> str:
    """A list of texts by name."""
    return "\n".join(f"- {name}: {text}" for name, text in texts.items())


def links_list(run_ids: Mapping[str, str]) -> str:
    """A list of run IDs by role."""
    return items({role: f"run `{run_id}`" for role, run_id in run_ids.items()})


def paragraphs(*texts: str) -> str:
    """Texts with an empty line between them, without those that are empty."""
    return "\n\n".join(text.rstrip("\n") for text in texts if text) + "\n"
