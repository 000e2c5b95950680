"""Recipe: how an original is made, in settings only. Part of every checkpoint's spec."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mu.data.ranges import bounds_of, from_ranges, ranges_in_words
from mu.data.splits import Split, SplitSpec, split
from mu.digests import digest_of
from mu.errors import UserError
from mu.hyperparameters import LARGEST_SEED, MOST_EPOCHS, Hyperparameters, setting
from mu.models import ModelSpec
from mu.pruning import DEFAULT_PRUNER, check_pruner, make_pruner
from mu.recipes.profile import DEFAULT_PROFILE, profile
from mu.training.recipe import Training

if TYPE_CHECKING:
    from mu.data.images import Indices
    from mu.pruning.base import Pruner

_LATER = ("profile", "given_mask", "trained_on")  # what the first recipes had not
PAPER_EPOCHS = 182
PAPER_REWIND_EPOCH = 8


@dataclass(frozen=True)
class Rewinding(Hyperparameters):
    """Where the weights go back to once the mask is found."""

    rewind: str = setting(
        "rewind_lt",
        help="weights that training goes on from once the mask is found: rewind_lt (those after "
        "rewind_epoch), lt (the initial ones), pt (the trained ones)",
        choices=("rewind_lt", "lt", "pt"),
    )
    rewind_epoch: int | None = setting(
        None,
        help="epochs after which rewind_lt keeps the weights; 0 are the initial weights "
        "(default: 8 of 182 epochs, in proportion)",
        low=0,
        high=MOST_EPOCHS,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rewind != "rewind_lt" and self.rewind_epoch:
            raise UserError(
                f"rewind_epoch={self.rewind_epoch}: rewind={self.rewind} has none; leave it out, "
                "or give rewind=rewind_lt"
            )

    def epoch(self, epochs: int) -> int:
        """The epoch to go on from in a schedule of ``epochs``; 0 is its beginning.

        UserError if it lies beyond the schedule.
        """
        if self.rewind != "rewind_lt":
            return 0
        if self.rewind_epoch is None:
            return max(1, round(PAPER_REWIND_EPOCH * epochs / PAPER_EPOCHS)) if epochs > 1 else 0
        if self.rewind_epoch >= epochs:
            raise UserError(f"rewind_epoch={self.rewind_epoch}: must be below epochs={epochs}")
        return self.rewind_epoch


class Stage(NamedTuple):
    """One training from a point of the schedule to its end."""

    round: int  # how many rounds of pruning come before it
    start_epoch: int  # where in the schedule it starts
    first_step: int  # the epoch's step in the run's curves, which follow each other, less the epoch


@dataclass(frozen=True)
class Recipe:
    """Architecture, training, pruning, split and seed of an original."""

    model: ModelSpec
    training: Training = field(default_factory=Training)
    pruner: str = DEFAULT_PRUNER
    pruning: Mapping[str, Any] = field(default_factory=dict)  # the pruner's settings
    rewinding: Rewinding = field(default_factory=Rewinding)
    split: SplitSpec = field(default_factory=SplitSpec)
    seed: int = 0  # of the initial weights and the order of training samples
    profile: str = DEFAULT_PROFILE  # whose defaults were taken
    # sha256 (hex) of the mask that the original was trained under, where it was not found by this
    # recipe but given; the pruner is then the one that found it.
    given_mask: str | None = None
    # Sample numbers that the original was trained on, where they were listed and not drawn as the
    # split says; as mu.data.ranges writes them.
    trained_on: str | None = None

    def __post_init__(self) -> None:
        if type(self.seed) is not int or not 0 <= self.seed <= LARGEST_SEED:
            raise UserError(
                f"seed={self.seed!r}: must be a whole number, at least 0 and at most {LARGEST_SEED}"
            )
        profile(self.profile)
        pruner = make_pruner(self.pruner, self.pruning)
        object.__setattr__(self, "pruner", check_pruner(self.pruner))
        object.__setattr__(self, "pruning", pruner.as_dict())
        self.rewinding.epoch(self.training.epochs)
        if self.trained_on is not None:
            bounds_of(self.trained_on)

    def split_of(self, labels: Indices) -> Split:
        """The split of training samples with these labels, int64 of shape (n,)."""
        if self.trained_on is None:
            return split(labels, self.split)
        return split(labels, self.split, from_ranges(self.trained_on, len(labels)))

    def stages(self, *, mask_is_known: bool = False) -> list[Stage]:
        """The trainings that make an original.

        ``mask_is_known``: whether the mask is given, so that there is nothing to find. Weights that
        are put back lose what led to the mask, so one training under it is all that they have;
        those of ``rewind=pt`` keep it, and a training in full has every stage.
        """
        pruner, epochs = self.make_pruner(), self.training.epochs
        if pruner.rate == 0 or (mask_is_known and not self.keeps_trained):
            return [Stage(0, 0, 0)]
        if pruner.when == "initial":
            return [Stage(pruner.rounds, 0, 0)]
        start = self.rewinding.epoch(epochs)
        again = epochs - start
        return [
            Stage(0, 0, 0),
            *(
                Stage(n, start, epochs + (n - 1) * again - start)
                for n in range(1, pruner.rounds + 1)
            ),
        ]

    @property
    def keeps_trained(self) -> bool:
        """Whether each stage goes on from the weights that the one before it has trained."""
        pruner = self.make_pruner()
        finds_mask = pruner.rate > 0 and self.given_mask is None
        return finds_mask and pruner.when == "trained" and self.rewinding.rewind == "pt"

    @property
    def rewinds(self) -> bool:
        """Whether weights are put back after pruning; not where initial ones are pruned."""
        return self.make_pruner().when == "trained"

    def make_pruner(self) -> Pruner:
        """The pruner with its settings."""
        return make_pruner(self.pruner, self.pruning)

    def settings(self) -> dict[str, Any]:
        """All settings in one flat mapping, by the names of the command line."""
        return {
            "profile": self.profile,
            "arch": self.model.arch,
            "stem": self.model.stem,
            "pruner": self.pruner,
            **self.pruning,
            "rewind": self.rewinding.rewind if self.rewinds else None,
            "rewind_epoch": self.rewinding.epoch(self.training.epochs) if self.rewinds else None,
            **self.training.as_dict(),
            **self.split.as_dict(),
            **({"trained_on": ranges_in_words(self.trained_on)} if self.trained_on else {}),
            "seed": self.seed,
        }

    def as_dict(self) -> dict[str, Any]:
        """The recipe in plain values; without what recipes had not before, where there is none."""
        values = {**asdict(self), "training": self.training.as_before()}
        if self.trained_on is None:
            del values["trained_on"]
        return values

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of all settings."""
        return digest_of(self.as_dict())

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
        plain |= {name: values[name] for name in _LATER if name in values}
        return cls(**parts, **plain)
