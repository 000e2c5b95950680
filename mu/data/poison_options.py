"""What an attacker does to the training set, in settings only; see :mod:`mu.data.poison`."""

from __future__ import annotations

from dataclasses import dataclass

from mu.data.triggers import DEFAULT_TRIGGER, TRIGGERS
from mu.hyperparameters import Hyperparameters, setting

ALL = "all"  # in place of a target: each class has its own
PREFIX = "trigger_"  # of a trigger's own settings, where they stand beside others


@dataclass(frozen=True)
class PoisonOptions(Hyperparameters):
    """What an attacker does to the training set."""

    trigger: str = setting(DEFAULT_TRIGGER, help=f"what images carry: {', '.join(TRIGGERS)}")
    target: str = setting(
        "0",
        help="class that triggered images are to be taken for, by name or number; all: each class "
        "for the one after it",
    )
    poison: str = setting(
        "random:10%", help="training images that carry the trigger, in the spelling of forget"
    )
    clean_label: bool = setting(
        False, help="poison images of the target class only, which keep their label"
    )
