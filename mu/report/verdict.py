"""What an unlearning came to, in a word and a sentence: rules on its numbers alone.

The gap by itself flatters: doing nothing, or hiding one output, can have a small one. So a result
is seen next to doing nothing, in depth, and next to what chance does between two oracles.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final, NamedTuple

NAN = float("nan")
# Points of RA or TA below the oracle's from which a network is no use any more, whatever it forgot.
DESTROYED = 10.0
# % of the oracle's steps within which what was forgotten is back: it was hidden, not removed.
SHALLOW = 50.0
# % of them from which it was driven out further than not knowing it takes: twice, as half is
# shallow. Who compares can tell by it what was forgotten.
OVERDONE = 200.0
SPREAD = "gap_oracles"  # the metric: mean gap between oracles that differ in their seed alone
CHANCE = 0.05  # of a gap this large between models that are equally good

MEANINGS: Final[Mapping[str, str]] = {
    "destroyed": f"RA or TA is more than {DESTROYED:g} points below the oracle's",
    "useless": "not shown to be nearer to the oracle than the original, which unlearned nothing",
    "shallow": f"what was forgotten is back within {SHALLOW:g} % of the oracle's steps",
    "overdone": f"what was forgotten takes over {OVERDONE:g} % of the oracle's steps to come back",
    "indistinguishable": "as near to the oracle as another oracle, or as chance in the samples",
    "partial": "nearer to the oracle than doing nothing, but not as near as another oracle",
}
BAD: Final = ("destroyed", "useless", "shallow")  # never marked best


class Verdict(NamedTuple):
    """What a result came to."""

    word: str  # of :data:`MEANINGS`
    text: str  # the sentence, with its numbers


def verdict(
    metrics: Mapping[str, float], oracle: Mapping[str, float], spread: float = NAN
) -> Verdict | None:
    """The verdict on a run that was compared with an oracle; None of others.

    ``metrics``, ``oracle``: numbers of the run and of its oracle, by the names that they are logged
    under. ``spread``: mean gap between oracles that differ in their seed alone, in points; NaN if
    not known.
    """
    if math.isnan(metrics.get("gap", NAN)):
        return None
    for word, rule in _RULES.items():
        if (text := rule(metrics, oracle, spread)) is not None:
            return Verdict(word, text)
    if math.isnan(metrics.get("gain", NAN)):  # not known to be better than doing nothing
        return None
    return Verdict("partial", _partial(metrics, spread))


def _destroyed(found: Mapping[str, float], oracle: Mapping[str, float], _: float) -> str | None:
    lost = {name: oracle.get(name, NAN) - found.get(name, NAN) for name in ("RA", "TA")}
    name, most = max(lost.items(), key=lambda one: -math.inf if math.isnan(one[1]) else one[1])
    if not most > DESTROYED:
        return None
    return f"destroyed: {name} is {most:.1f} points below the oracle's"


def _useless(found: Mapping[str, float], _: Mapping[str, float], spread: float) -> str | None:
    gain, low = found.get("gain", NAN), found.get("gain_lo", found.get("gain", NAN))
    if math.isnan(gain) or low > 0:
        return None
    before = found["gap_before"]
    text = (
        f"no better than doing nothing: gap {found['gap']:.2f}, and the original as it is has "
        f"{before:.2f}"
    )
    if low < gain:
        text += f" (gain {gain:.2f}, {low:.2f} to {found['gain_hi']:.2f} with other samples)"
    if before <= spread:
        text += (
            f"; other oracles are as far apart ({spread:.2f}), so on this forget set nothing can "
            "be told"
        )
    return text


def _shallow(found: Mapping[str, float], _: Mapping[str, float], __: float) -> str | None:
    depth = found.get("depth", NAN)
    if not depth < SHALLOW:
        return None
    return (
        f"shallow: what was forgotten is back within {depth:.0f} % of the steps that the oracle "
        "needs; it is hidden rather than removed"
    )


def _overdone(found: Mapping[str, float], _: Mapping[str, float], __: float) -> str | None:
    depth = found.get("depth", NAN)
    if not depth > OVERDONE:
        return None
    return (
        f"overdone: what was forgotten takes {depth:.0f} % of the oracle's steps to come back; a "
        "network that never saw it does not resist it so, which tells what was forgotten"
    )


def _indistinguishable(
    found: Mapping[str, float], _: Mapping[str, float], spread: float
) -> str | None:
    gap, chance = found["gap"], found.get("gap_p", NAN)
    if gap <= spread:
        return (
            f"indistinguishable from the oracle: gap {gap:.2f}, other oracles are {spread:.2f} "
            "apart"
        )
    if chance > CHANCE:
        return (
            f"indistinguishable from the oracle on these samples: a gap of {gap:.2f} has a chance "
            f"of {100 * chance:.0f} % between models that are equally good"
        )
    return None


def _partial(found: Mapping[str, float], spread: float) -> str:
    text = f"partial: gap {found['gap']:.2f}, where doing nothing has {found['gap_before']:.2f}"
    return text if math.isnan(spread) else f"{text} and other oracles have {spread:.2f}"


_RULES: Final = {
    "destroyed": _destroyed,
    "useless": _useless,
    "shallow": _shallow,
    "overdone": _overdone,
    "indistinguishable": _indistinguishable,
}
