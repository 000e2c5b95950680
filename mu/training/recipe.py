"""Training: the settings of the one loop."""

from __future__ import annotations

from dataclasses import dataclass

from mu.data.augmentation import AUGMENTATIONS as KINDS
from mu.errors import UserError
from mu.hyperparameters import (
    LARGEST_RATE,
    MOST_BATCH,
    MOST_EPOCHS,
    Hyperparameters,
    later,
    setting,
)
from mu.training.schedules import SCHEDULES

AUGMENTATIONS = tuple(KINDS)
OPTIMIZERS = ("sgd", "adam", "adamw")


@dataclass(frozen=True)
class Training(Hyperparameters):
    """How long, how fast and on what batches; the defaults are the paper's for CIFAR-10."""

    epochs: int = setting(182, help="passes over the data", low=1, high=MOST_EPOCHS)
    lr: float = setting(0.1, help="learning rate, at its peak", above=0, high=LARGEST_RATE)
    batch_size: int = setting(256, help="images a step", low=1, high=MOST_BATCH)
    momentum: float = setting(0.9, help="of sgd; the first beta of adam", low=0, below=1)
    weight_decay: float = setting(5e-4, help="L2 penalty", low=0)
    schedule: str = setting("step", help="of the learning rate", choices=tuple(SCHEDULES))
    warmup: int = setting(0, help="epochs of linear warm-up", low=0, high=MOST_EPOCHS)
    augment: str = setting("crop_flip", help="of training images", choices=AUGMENTATIONS)
    optimizer: str = setting("sgd", help="what takes the steps", choices=OPTIMIZERS)
    label_smoothing: float = setting(
        0.0, help="share of a label that is spread over all classes", low=0.0, below=1.0
    )
    sam_rho: float = setting(
        0.0, help="radius of sharpness-aware minimisation; 0 is plain training", low=0.0
    )
    sam_adaptive: bool = setting(False, help="whether that radius is relative to the weights")
    nesterov: bool = later(
        setting(False, help="of sgd: whether the gradient is taken where momentum leads")
    )
    decoupled_decay: bool = later(
        setting(
            False,
            help="whether weight_decay is the share of a weight that a step takes at the peak "
            "rate, whatever lr is; not of adam",
        )
    )
    norm_bias_rate: float = later(
        setting(
            1.0,
            help="learning rate of the biases of normalisation layers, in units of lr",
            low=0,
            high=LARGEST_RATE,
        )
    )
    lookahead: int = later(
        setting(
            0,
            help="steps after which weights go back towards where they were before these, the "
            "more the later; 0: never",
            low=0,
            high=MOST_BATCH,
        )
    )
    first_layer_epochs: int | None = later(
        setting(
            None,
            help="epochs in which the first layer is trained (default: all)",
            low=0,
            high=MOST_EPOCHS,
        )
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.warmup > self.epochs:
            raise UserError(f"warmup={self.warmup}: must be at most epochs={self.epochs}")
        if self.nesterov and (self.optimizer != "sgd" or not self.momentum):
            raise UserError("nesterov=True: only sgd with a momentum has it; give nesterov=false")
        if self.decoupled_decay and self.optimizer == "adam":
            raise UserError(
                "decoupled_decay=True: adam has no decay by itself; use adamw, or give "
                "decoupled_decay=false"
            )
