"""Sample numbers as a short text, ``0-44999,45010``: how a spec keeps a list of them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mu.digests import digest_of
from mu.errors import UserError

if TYPE_CHECKING:
    from mu.data.images import Indices

_FORM = re.compile(r"\d{1,12}(-\d{1,12})?(,\d{1,12}(-\d{1,12})?)*")


def to_ranges(numbers: Indices) -> str:
    """At least one number, ascending, none twice, as their runs: ``0-2,7``."""
    import numpy as np

    starts = np.flatnonzero(np.diff(numbers, prepend=-2) != 1)
    ends = np.append(starts[1:], len(numbers)) - 1
    pairs = zip(numbers[starts].tolist(), numbers[ends].tolist(), strict=True)
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in pairs)


def bounds_of(text: str) -> list[tuple[int, int]]:
    """First and last number of each run; ValueError if they do not ascend."""
    if not isinstance(text, str) or not _FORM.fullmatch(text):
        raise ValueError(f"{str(text)[:60]!r} are no sample numbers")
    pairs = [[int(one) for one in part.split("-")] for part in text.split(",")]
    bounds = [(pair[0], pair[-1]) for pair in pairs]
    before = [-1, *(last for _, last in bounds[:-1])]
    if any(first > last or first <= end for (first, last), end in zip(bounds, before, strict=True)):
        raise ValueError(f"{text[:60]!r} do not ascend")
    return bounds


def from_ranges(text: str, size: int) -> Indices:
    """What :func:`to_ranges` wrote, int64.

    UserError if a number is not below ``size``.
    """
    import numpy as np

    bounds = bounds_of(text)
    if bounds[-1][1] >= size:
        raise UserError(
            f"the original was trained on sample {bounds[-1][1]}, but there are only {size} "
            "training images; name the data that it was trained on"
        )
    return np.concatenate([np.arange(first, last + 1) for first, last in bounds])


def ranges_in_words(text: str) -> str:
    """How many numbers, and their fingerprint: what fits into a run's parameters."""
    count = sum(last - first + 1 for first, last in bounds_of(text))
    return f"{count} samples, sha256 {digest_of(text)[:16]}"
