"""Profiles: the ways of training that the paper compares, as defaults of recipe and pruner.

What is given explicitly wins over a profile, and a profile over the defaults of the data set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from mu.errors import unknown
from mu.pruning import DEFAULT_PRUNER


@dataclass(frozen=True)
class Profile:
    """Defaults that go together."""

    about: str  # one line for the reader
    training: Mapping[str, Any] = field(default_factory=dict)  # what differs from the general ones
    pruner: str = DEFAULT_PRUNER
    arch: str | None = None
    warmup: float = 0.0  # share of the epochs in which the learning rate rises, 0-1


DEFAULT_PROFILE = "imp"
# Jordan's rates are of a loss that is summed over a batch, for 1,024 samples: 11.5, and 0.0153 of
# decay, each over 1 + 1 / (1 - momentum). Here it is a mean, so they are steps of 1,024 samples.
_FAST: dict[str, Any] = {
    "epochs": 10,
    "batch_size": 1024,
    "lr": 1.5,
    "momentum": 0.85,
    "nesterov": True,
    "weight_decay": 0.002,
    "decoupled_decay": True,
    "norm_bias_rate": 64.0,
    "schedule": "triangle",
    "label_smoothing": 0.2,
    "lookahead": 5,
    "augment": "shift_alternate",
    "first_layer_epochs": 3,
}
PROFILES = {
    "imp": Profile("SGD on the cross-entropy: the baseline"),
    "ls": Profile("label smoothing (Szegedy et al. 2016)", {"label_smoothing": 0.1}),
    "sam": Profile("sharpness-aware minimisation (Foret et al. 2021)", {"sam_rho": 0.05}),
    "vit": Profile(
        "Adam and a cosine schedule, for transformers",
        {"optimizer": "adam", "lr": 1e-3, "weight_decay": 0.0, "schedule": "cosine"},
        arch="vit_tiny",
        warmup=0.05,
    ),
    "fast": Profile("CIFAR-10 in ten epochs (Jordan 2024)", _FAST, arch="fastnet"),
    "fast_fitted": Profile(
        "the same until the training images are fitted, as the paper's originals are",
        {**_FAST, "epochs": 20, "label_smoothing": 0.0},
        arch="fastnet",
    ),
    "synflow": Profile("prune at initialisation, then train", pruner="synflow"),
}


def profile(name: str) -> Profile:
    """The profile of that name.

    UserError if there is none; the message gives the nearest one.
    """
    if name not in PROFILES:
        raise unknown("profile", name, [*PROFILES])
    return PROFILES[name]
