"""Which settings are tried next: Optuna's TPE, as a function of the seed and the trials before.

A sampler has a state, which would have to be kept for a search to be continued. So each trial has a
sampler and a study of its own, made from the seed, its number and what came of the trials before:
after an interruption the same trials follow as without it.

References
----------
Bergstra, Bardenet, Bengio & Kégl (2011), Algorithms for Hyper-Parameter Optimization, NeurIPS;
Akiba et al. (2019), Optuna, KDD.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mu.tasks.tune.space import Axis

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

AT_RANDOM = 5  # trials before the first that learns from others
DIGITS = 3  # significant ones of a number that is tried

Past = Sequence[tuple[Mapping[str, Any], int]]  # settings, and which place they have come to


def suggest(axes: Sequence[Axis], seed: int, number: int, past: Past) -> dict[str, Any]:
    """The settings of a trial.

    ``number``: of the trial. ``past``: trials before; the smaller their place the better. TPE knows
    only their order. Those that lie outside the space, as a default may, are left out.
    """
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    space = {one.name: _distribution(one) for one in axes}
    digest = hashlib.sha256(f"{seed}/trial {number}".encode()).digest()
    sampler = optuna.samplers.TPESampler(
        seed=int.from_bytes(digest[:4], "little"), n_startup_trials=AT_RANDOM
    )
    study = optuna.create_study(sampler=sampler)
    for settings, place in past:
        if all(one.holds(settings[one.name]) for one in axes):
            known = {one.name: settings[one.name] for one in axes}
            study.add_trial(
                optuna.create_trial(params=known, distributions=space, value=float(place))
            )
    found = study.ask(space).params
    return {one.name: _rounded(one, found[one.name]) for one in axes}


def _distribution(axis: Axis) -> BaseDistribution:
    from optuna import distributions

    if axis.values:
        return distributions.CategoricalDistribution(axis.values)
    if isinstance(axis.low, int):
        return distributions.IntDistribution(axis.low, int(axis.high), log=axis.is_log)
    return distributions.FloatDistribution(axis.low, axis.high, log=axis.is_log)


def _rounded(axis: Axis, value: Any) -> Any:
    """Short enough to be typed, and still in the range."""
    if axis.values or isinstance(value, int):
        return value
    return min(max(float(f"{value:.{DIGITS}g}"), axis.low), axis.high)
