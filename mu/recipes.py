"""Recipe: how an original is made, in settings only. Part of every checkpoint's spec."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from mu.data.splits import SplitSpec
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SEED, Hyperparameters, setting
from mu.models import ModelSpec
from mu.pruning import DEFAULT_PRUNER, check_pruner, make_pruner
from mu.training.recipe import Training

if TYPE_CHECKING:
    from mu.pruning.base import Pruner

PAPER_EPOCHS = 182
PAPER_REWIND_EPOCH = 8


@dataclass(frozen=True)
class Rewinding(Hyperparameters):
    """Where the weights go back to once the mask is found."""

    rewind_epoch: int | None = setting(
        None,
        help="epochs after which the weights are kept to rewind to; 0 are the initial weights "
        "(default: 8 of 182 epochs, in proportion)",
        low=0,
    )

    def epoch(self, epochs: int) -> int:
        """The epoch to rewind to in a schedule of ``epochs``.

        Raises
        ------
        UserError
            If it lies beyond the schedule.
        """
        if self.rewind_epoch is None:
            return max(1, round(PAPER_REWIND_EPOCH * epochs / PAPER_EPOCHS)) if epochs > 1 else 0
        if self.rewind_epoch >= epochs:
            raise UserError(f"rewind_epoch={self.rewind_epoch}: must be below epochs={epochs}")
        return self.rewind_epoch


@dataclass(frozen=True)
class Recipe:
    """Architecture, training, pruning, split and seed of an original.

    Parameters
    ----------
    pruner, pruning
        Name of the pruner and its settings.
    seed
        Of the initial weights and the order of training samples.
    """

    model: ModelSpec
    training: Training = field(default_factory=Training)
    pruner: str = DEFAULT_PRUNER
    pruning: Mapping[str, Any] = field(default_factory=dict)
    rewinding: Rewinding = field(default_factory=Rewinding)
    split: SplitSpec = field(default_factory=SplitSpec)
    seed: int = 0

    def __post_init__(self) -> None:
        if type(self.seed) is not int or not 0 <= self.seed <= LARGEST_SEED:
            raise UserError(
                f"seed={self.seed!r}: must be a whole number, at least 0 and at most {LARGEST_SEED}"
            )
        pruner = make_pruner(self.pruner, self.pruning)
        object.__setattr__(self, "pruner", check_pruner(self.pruner))
        object.__setattr__(self, "pruning", pruner.as_dict())
        self.rewinding.epoch(self.training.epochs)

    def make_pruner(self) -> Pruner:
        """The pruner with its settings."""
        return make_pruner(self.pruner, self.pruning)

    def settings(self) -> dict[str, Any]:
        """All settings in one flat mapping, by the names of the command line."""
        return {
            "arch": self.model.arch,
            "stem": self.model.stem,
            "pruner": self.pruner,
            **self.pruning,
            "rewind_epoch": self.rewinding.epoch(self.training.epochs),
            **self.training.as_dict(),
            **self.split.as_dict(),
            "seed": self.seed,
        }

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all settings."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Read what :func:`dataclasses.asdict` made of a recipe."""
        groups: dict[str, type[Hyperparameters]] = {
            "model": ModelSpec,
            "training": Training,
            "rewinding": Rewinding,
            "split": SplitSpec,
        }
        parts: dict[str, Any] = {name: kind.of(values[name]) for name, kind in groups.items()}
        plain = {name: values[name] for name in ("pruner", "pruning", "seed")}
        return cls(**parts, **plain)
