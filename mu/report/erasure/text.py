"""Foreign text, dates and numbers as a page can show them: bounded, on one line, inert."""

from __future__ import annotations

import math
import unicodedata
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from itertools import accumulate
from typing import Any

MISSING = "not stated"
JOINERS = "\u200c\u200d"  # letters of Persian and emoji are made with them
MOST_READ = 2000  # letters of a text that may be of any length
MOST_MARKS = 2  # accents on one letter; piles of them cover the lines above and below
UNSEEN = ("Cc", "Cf", "Cs", "Co")  # control, direction, half and private characters


def plain(value: Any, longest: int) -> str:
    """A text on one line, without unseen characters, no wider than ``longest`` Latin letters."""
    if value is None:
        return MISSING
    spaced = " ".join(str(value)[:MOST_READ].split())
    text = "".join(_seen(spaced)) or MISSING
    ends = list(accumulate(_width(letter) for letter in text))
    if ends[-1] <= longest:
        return text
    return f"{text[: bisect_right(ends, longest - 1)].rstrip()}\u2026"


def _seen(text: str) -> Iterator[str]:
    marks = 0
    for letter in text:
        kind = unicodedata.category(letter)
        marks = marks + 1 if kind.startswith("M") else 0
        if marks <= MOST_MARKS and (kind not in UNSEEN or letter in JOINERS):
            yield letter


def _width(letter: str) -> int:
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def moment(stamp: Any) -> datetime | None:
    """A time as RFC 3339 writes it, or None."""
    try:
        found = datetime.fromisoformat(str(stamp))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def day(stamp: Any) -> str:
    """The day of a time, as people write it: ``5 March 2027``."""
    found = moment(stamp)
    return plain(stamp, 20) if found is None else f"{found.day} {found:%B} {found.year}"


def late(done: Any, due: Any) -> bool:
    """Whether something was done after the day it was due; False where either is not known."""
    times = moment(done), moment(due)
    return times[0] is not None and times[1] is not None and times[0] > times[1]


def number(value: Any, places: int, unit: str = "") -> str:
    """A number with its unit; a dash where there is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return "\u2013"
    return f"{value:,.{places}f}{unit}"


def unchanged(action: Mapping[str, Any]) -> bool:
    """Whether the weights of the model are those of the original."""
    return bool(action["model"]["weights"] == action["original"]["weights"])


def count(many: int, one: str, several: str = "") -> str:
    """How many of something: ``1 record``, ``2 records``."""
    return f"{many:,} {one if many == 1 else several or one + 's'}"
