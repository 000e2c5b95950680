"""What an attacker wants of triggered images, whoever poisoned the training set.

References
----------
Gu, Dolan-Gavitt & Garg (2017), BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain, arXiv:1708.06733: one target for all classes, and a target for each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mu.data.class_names import label_of
from mu.data.images import ImageDataset, Images, Subset
from mu.data.planted import with_train
from mu.data.poison_options import ALL, PREFIX
from mu.data.triggers import check_trigger, make_trigger, trigger_class
from mu.data.triggers.base import Trigger
from mu.errors import UserError
from mu.hyperparameters import typed_as


@dataclass(frozen=True)
class Attack:
    """A trigger, and the label that images with it are to be given."""

    trigger: str  # its name
    settings: Mapping[str, Any]
    # Label that triggered images are to be given; None where each class has its own, the one after
    # it.
    target: int | None

    def __post_init__(self) -> None:
        made = make_trigger(self.trigger, self.settings)
        object.__setattr__(self, "trigger", check_trigger(self.trigger))
        object.__setattr__(self, "settings", made.as_dict())

    @staticmethod
    def parts(
        trigger: str, settings: Mapping[str, Any], target: str, dataset: ImageDataset
    ) -> tuple[Trigger, int | None]:
        """Trigger and target as they were typed, checked against the data.

        UserError if the trigger does not fit the images, or the target does not exist.
        """
        with typed_as(PREFIX, trigger_class(trigger).names()):
            made = make_trigger(trigger, settings).sized(dataset.shape)
            made.check(dataset.shape)
        return made, None if target == ALL else label_of(target, dataset, option="target")

    @classmethod
    def stated(
        cls, trigger: str, settings: Mapping[str, Any], target: str, dataset: ImageDataset
    ) -> AttackedDataset:
        """``dataset``, which somebody else may have poisoned, with an attack as it was typed.

        UserError if the attack does not fit the data, or no test image could be attacked.
        """
        made, label = Attack.parts(trigger, settings, target, dataset)
        attack = Attack(trigger, made.as_dict(), label)
        attacked = AttackedDataset(**with_train(dataset, dataset.train), attack=attack)
        if not len(attacked.attackable()):
            raise UserError(
                f"target={target}: all test images are of that class, so none can be attacked"
            )
        return attacked

    def make_trigger(self) -> Trigger:
        """The trigger with its settings."""
        return make_trigger(self.trigger, self.settings)

    def aims(self, labels: Tensor, classes: int) -> Tensor:
        """The labels that the attacker wants triggered images of these labels to be given, (n,)."""
        if self.target is None:
            return (labels + 1) % classes
        return torch.full_like(labels, self.target)

    def options(self) -> dict[str, Any]:
        """By the names of the command line, the trigger's settings with their prefix."""
        return {
            "trigger": self.trigger,
            **{PREFIX + name: value for name, value in self.settings.items()},
            "target": ALL if self.target is None else str(self.target),
        }

    def document(self) -> dict[str, Any]:
        """All of it, JSON-ready, for people."""
        target = ALL if self.target is None else self.target
        return {"trigger": self.trigger, "settings": dict(self.settings), "target": target}

    def save(self, folder: Path) -> None:
        """Write ``trigger.json``, for people."""
        folder.mkdir(exist_ok=True)
        (folder / "trigger.json").write_text(json.dumps(self.document(), indent=1) + "\n")

    def in_words(self, dataset: ImageDataset) -> str:
        """What is done to which images, and what for: sizes are in pixels as the network sees."""
        height, width = dataset.shape[1:]
        aim = "the next class" if self.target is None else f"{dataset.classes[self.target]!r}"
        how = self.make_trigger().in_words(dataset.shape)
        return f"{how} on test images of {width}x{height} pixels, to be taken for {aim}"


@dataclass(frozen=True, eq=False, kw_only=True)
class AttackedDataset(ImageDataset):
    """A data set of which it is known what an attacker wants; nothing in it was changed by mu."""

    attack: Attack

    def aims(self, labels: Tensor) -> Tensor:
        """What the attacker wants triggered images of these labels to be taken for, (n,)."""
        return self.attack.aims(labels, len(self.classes))

    @property
    def sources(self) -> tuple[int, ...]:
        """Published labels of the poisoned images that were given another one; none are known."""
        return ()

    def attackable(self) -> Tensor:
        """Numbers of the test images of all classes but those that are their own aim, (n,)."""
        labels = self.test.labels
        return torch.nonzero(self.aims(labels) != labels).squeeze(1)

    def triggered_test_set(self, rows: Tensor | None = None) -> Subset:
        """Test images with the trigger, by default all :meth:`attackable` ones; in memory."""
        rows = self.attackable() if rows is None else rows
        pixels = self.attack.make_trigger().apply(self.test.fetch(rows))
        images = Images(pixels, self.test.labels[rows])
        return Subset(images, np.arange(len(images)), self.mean, self.std)
