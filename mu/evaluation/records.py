"""The records under attack one by one: how exposed each is, and how memorised."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from mu.data.images import Indices
from mu.evaluation.attacks.exposure import Exposure, exposure, resolved
from mu.evaluation.attacks.likelihood import Seen
from mu.evaluation.challenge import Challenge
from mu.evaluation.memorisation import mean_memorisation, memorisation
from mu.evaluation.outputs import Outputs
from mu.evaluation.references import Reference, View

# What is attacked, by the ending of its numbers. Non-members have no record of their own: they
# show whether the rate of false positives is what it is said to be.
ENDINGS = {"forget": "", "retain": "_retain", "unseen": "_unseen"}


@dataclass(frozen=True, eq=False)
class Game:
    """What networks and references say of some samples, and which reference saw which."""

    networks: Mapping[str, Outputs]  # by model: original, unlearned, oracle
    references: Sequence[Outputs]  # as they were trained
    seen: Seen  # bool of shape (n_references, n_samples)

    @cached_property
    def exposures(self) -> dict[str, Exposure]:
        """By model."""
        known = np.stack([_margins(one) for one in self.references])
        return {name: exposure(_margins(o), known, self.seen) for name, o in self.networks.items()}

    @property
    def right(self) -> NDArray[np.bool_]:
        """Which reference gives which sample its label, bool of shape (n_references, n_samples)."""
        return np.stack([one.right.numpy() for one in self.references])


@dataclass(frozen=True, eq=False)
class Records:
    """One part of what is attacked."""

    part: str  # one of :data:`ENDINGS`
    samples: Indices
    exposures: Mapping[str, Exposure]  # by model
    right: NDArray[np.bool_]  # of the references
    seen: Seen

    @cached_property
    def order(self) -> Indices:
        """Places of the samples, the one most exposed in the unlearned model first."""
        return np.argsort(-self.exposures["unlearned"].deviations, kind="stable")

    @cached_property
    def memorised(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Memorisation of each sample, and its standard error."""
        return memorisation(self.right, self.seen)

    def exposed(self, model: str) -> dict[str, float]:
        """The share of its samples that are exposed in a model, with the ends of its interval."""
        name = f"exposed_at_1{ENDINGS[self.part]}"
        values = self.exposures[model].exposed()
        return dict(zip((name, f"{name}_lo", f"{name}_hi"), values, strict=True))

    def mean_memorisation(self) -> dict[str, float]:
        """Of all samples; with the ends of its interval, from two pairs of references on."""
        name, found = f"memorisation{ENDINGS[self.part]}", mean_memorisation(self.right, self.seen)
        numbers = {name: found.mean}
        if found.low is not None and found.high is not None:
            numbers |= {f"{name}_lo": found.low, f"{name}_hi": found.high}
        return numbers


def records_of(
    views: Mapping[str, View], references: Sequence[Reference], challenge: Challenge
) -> dict[str, Records]:
    """The records of each part that is attacked, by its name."""
    games = {
        part: Game(
            {name: view[part] for name, view in views.items()},
            [one.trained[part] for one in references],
            np.stack([one.seen[part] for one in references]),
        )
        for part in challenge.targets
    }
    attacked, cut = games["attacked"], len(challenge.members)
    found = {
        "forget": _part("forget", challenge.members, attacked, slice(None, cut)),
        "unseen": _part("unseen", challenge.non_members, attacked, slice(cut, None)),
    }
    if "retained" in games:
        found["retain"] = _part("retain", challenge.retained, games["retained"], slice(None))
    return found


def _part(name: str, samples: Indices, game: Game, rows: slice) -> Records:
    exposures = {model: one.part(rows) for model, one in game.exposures.items()}
    return Records(name, samples, exposures, game.right[:, rows], game.seen[:, rows])


def exposed_shares(parts: Mapping[str, Records], model: str) -> dict[str, float]:
    """``exposed_at_1`` of a model, and the like; none where 1 % cannot be resolved."""
    if not resolved(*parts["unseen"].seen.shape):
        return {}
    return {name: value for one in parts.values() for name, value in one.exposed(model).items()}


def mean_memorisations(parts: Mapping[str, Records]) -> dict[str, float]:
    """``memorisation`` of the forget set and of the retained samples."""
    kept = [one for name, one in parts.items() if name != "unseen"]
    return {name: value for one in kept for name, value in one.mean_memorisation().items()}


def _margins(outputs: Outputs) -> NDArray[np.float64]:
    return np.asarray(outputs.score("margin").numpy(), float)
