"""The settings that fine-tuning methods share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from mu.checkpoints import Checkpoint
from mu.hyperparameters import setting
from mu.methods.base import Method
from mu.training.recipe import AUGMENTATIONS, Training
from mu.training.schedules import SCHEDULES


@dataclass(frozen=True)
class FineTuning(Method):
    """A short training on the retain set; subclasses say with which objective."""

    epochs: int = setting(10, help="passes over the retain set", low=1)
    lr: float = setting(0.1, help="learning rate", above=0)
    batch_size: int | None = setting(None, help="images a step (default: the original's)", low=1)
    momentum: float = setting(0.9, help="of stochastic gradient descent", low=0, below=1)
    weight_decay: float = setting(5e-4, help="L2 penalty", low=0)
    schedule: str = setting("cosine", help="of the learning rate", choices=tuple(SCHEDULES))
    augment: str | None = setting(
        None, help="of training images (default: the original's)", choices=AUGMENTATIONS
    )

    def in_force(self, checkpoint: Checkpoint) -> dict[str, Any]:
        """See :meth:`Method.in_force`; the original's settings stand for those not given."""
        used = self.training(checkpoint.spec.recipe.training).as_dict()
        return {name: used.get(name, value) for name, value in self.as_dict().items()}

    def training(self, original: Training) -> Training:
        """The settings of the loop; what is not given is the original's."""
        return Training(
            epochs=self.epochs,
            lr=self.lr,
            batch_size=self.batch_size or original.batch_size,
            momentum=self.momentum,
            weight_decay=self.weight_decay,
            schedule=self.schedule,
            augment=self.augment or original.augment,
        )
