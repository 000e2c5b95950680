"""In what values that were computed once more differ from those that are stated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

# Of numbers: another processor or library rounds otherwise, and stated numbers are rounded.
RELATIVE, ABSOLUTE = 1e-6, 0.01


def differences(found: Any, stated: Any, place: str) -> Iterator[str]:
    """A line for each value of ``found`` that is stated otherwise, or not at all.

    What is stated beyond it is left alone.
    """
    if isinstance(found, Mapping) and isinstance(stated, Mapping):
        for name, value in found.items():
            if name in stated:
                yield from differences(value, stated[name], f"{place}.{name}")
            else:
                yield f"{place}.{name} is not stated, and {value!r} comes out"
    elif _is_list(found) and _is_list(stated) and len(found) == len(stated):
        for number, pair in enumerate(zip(found, stated, strict=True)):
            yield from differences(*pair, f"{place}[{number}]")
    elif not _same(found, stated):
        yield f"{place} is stated as {_shown(stated)}, and {_shown(found)} comes out"


def _same(found: Any, stated: Any) -> bool:
    if not (_is_number(found) and _is_number(stated)):
        return type(found) is type(stated) and bool(found == stated)
    if isinstance(found, int) and isinstance(stated, int):
        return found == stated  # counts
    return math.isclose(found, stated, rel_tol=RELATIVE, abs_tol=ABSOLUTE)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes)


def _shown(value: Any) -> str:
    return f"{len(value)} entries" if _is_list(value) else repr(value)
