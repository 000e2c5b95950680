"""The settings that fine-tuning methods share."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self

from mu.hyperparameters import LARGEST_RATE, MOST_BATCH, MOST_EPOCHS, searched, setting
from mu.methods.base import Method
from mu.methods.stopping import BUDGET, Stopping
from mu.training.recipe import AUGMENTATIONS, OPTIMIZERS, Training
from mu.training.schedules import SCHEDULES

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.base import Method

SGD_RATE = 0.1  # the paper's for unlearning
# In backdoor, where neither scale nor limit is given. After 10 epochs what is left of backdoor and
# clean accuracy depends too much on the seed, and even on rounding; in 20 by the rule, clean
# accuracy is lost (benchmarks/results/2026-11-28-robust-defaults.md).
CLEANSING: dict[str, dict[str, Any]] = {"l1_sparse": {"epochs": 30, "l1_strength": 2.0}}
ADAM_RATE = 1e-3  # Kingma & Ba's, where the original was trained with sgd


@dataclass(frozen=True)
class FineTuning(Stopping):
    """A short training on the retain set; subclasses say with which objective."""

    scale: ClassVar[tuple[str, ...]] = ("lr",)

    epochs: int = setting(BUDGET, help="passes over the retain set", low=1, high=MOST_EPOCHS)
    lr: float | None = searched(
        setting(
            None,
            help=f"learning rate; of ft in place of the rule, which starts from the "
            f"default ({SGD_RATE:g} with sgd; with adam and adamw the original's, or "
            f"{ADAM_RATE:g} where that was trained with sgd)",
            above=0,
            high=LARGEST_RATE,
        ),
        0.003,
        3.0,
    )
    batch_size: int | None = setting(
        None, help="images a step (default: the original's)", low=1, high=MOST_BATCH
    )
    momentum: float = setting(0.9, help="of sgd; the first beta of adam", low=0, below=1)
    weight_decay: float = searched(setting(5e-4, help="L2 penalty", low=0), 5e-5, 5e-3)
    schedule: str = setting("cosine", help="of the learning rate", choices=tuple(SCHEDULES))
    augment: str | None = setting(
        None, help="of training images (default: the original's)", choices=AUGMENTATIONS
    )
    optimizer: str | None = setting(
        None, help="what takes the steps (default: the original's)", choices=OPTIMIZERS
    )

    def identity(self) -> dict[str, Any]:
        """See :meth:`Method.identity`; without the rule it is what it was before there was one."""
        found = super().identity()
        if self._given():
            del found["spend"]
        return found

    @classmethod
    def restored(cls, settings: Mapping[str, Any], original: Training) -> Self:
        """See :meth:`Method.restored`; earlier versions had no rule, but a learning rate."""
        if "lr" in cls.scale and "spend" not in settings and settings.get("lr") is None:
            optimizer = settings.get("optimizer") or original.optimizer
            settings = {**settings, "lr": default_rate(optimizer, original)}
        return super().restored(settings, original)

    def in_force(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """See :meth:`Method.in_force`; the original's settings stand for those not given.

        What the rule finds stays open.
        """
        used = self.training(checkpoint.spec.recipe.training).as_dict()
        made = {name: used.get(name, value) for name, value in self.as_dict().items()}
        return {**made, **{name: getattr(self, name) for name in self.scale}}

    def training(self, original: Training) -> Training:
        """The settings of the loop; what is not given is the original's, or fits its own.

        Label smoothing and sharpness-aware minimisation are not taken over.
        """
        optimizer = self.optimizer or original.optimizer
        return Training(
            epochs=self.epochs,
            lr=self.lr or default_rate(optimizer, original),
            batch_size=self.batch_size or original.batch_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            augment=self.augment or original.augment,
            optimizer=optimizer,
        )


def default_rate(optimizer: str, original: Training) -> float:
    """The learning rate that fits an optimiser, after what the original was trained with."""
    if optimizer == "sgd":
        return SGD_RATE
    return ADAM_RATE if original.optimizer == "sgd" else original.lr


def cleansing(method: type[Method], given: Collection[str] = ()) -> dict[str, Any]:
    """The defaults of a method that are other ones where it removes a backdoor.

    ``given``: names of its settings that are given; a scale or a limit takes the place of ours.
    """
    own = CLEANSING.get(method.name, {})
    if {"alpha", "l1_strength", "max_accuracy_drop"} & {*given}:
        return {name: value for name, value in own.items() if name != "l1_strength"}
    return own
