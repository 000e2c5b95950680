"""How long tasks will take, by what the same or similar ones took."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass, field

MUST_AGREE = ("dataset", "arch")
Features = Mapping[str, str]


@dataclass(frozen=True)
class Load:
    """What decides how long a piece of work takes.

    Parameters
    ----------
    kind
        ``original``, or the name of a method.
    features
        Settings as text; :data:`MUST_AGREE` among them.
    work
        What the time grows with: epochs, where there are some.
    """

    kind: str
    features: Features
    work: float = 1.0


@dataclass(frozen=True)
class Past:
    """A load, and the seconds that it took.

    Parameters
    ----------
    seconds
        Of the work itself, which grow with it.
    beside
        Of loading, evaluation and plots, which do not.
    """

    load: Load
    seconds: float
    beside: float = 0.0


@dataclass
class Estimator:
    """Estimates from pieces of work of the past."""

    pasts: list[Past] = field(default_factory=list)

    def seconds(self, load: Load) -> float | None:
        """Median over the most similar pieces of work, in proportion to the work.

        Similar are those of the same kind on the same data and architecture; among them the more,
        the more settings agree. None where there is none.
        """
        similar = [one for one in self.pasts if _comparable(one.load, load)]
        if not similar:
            return None
        best = max(_agreement(one.load, load) for one in similar)
        nearest = [one for one in similar if _agreement(one.load, load) == best]
        rate = statistics.median(one.seconds / one.load.work for one in nearest)
        return rate * load.work + statistics.median(one.beside for one in nearest)


def _comparable(one: Load, other: Load) -> bool:
    return one.kind == other.kind and all(
        one.features.get(name) == other.features.get(name) for name in MUST_AGREE
    )


def _agreement(one: Load, other: Load) -> int:
    return sum(one.features.get(name) == value for name, value in other.features.items())
