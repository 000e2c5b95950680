"""A poisoned training set: some images carry a trigger, and a label that the attacker chose.

References
----------
Gu, Dolan-Gavitt & Garg (2017), BadNets: Identifying Vulnerabilities in the Machine Learning Model
Supply Chain, arXiv:1708.06733: one target for all classes, and a target for each. Barni, Kallas &
Tondi (2019), arXiv:1902.11237: poison that keeps its label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch

from mu.data.attack import Attack, AttackedDataset
from mu.data.forget_request import POISON, ForgetRequest
from mu.data.images import ImageDataset, Images, Indices
from mu.data.planted import Planted, PlantedDataset, checked_numbers, is_number, with_train
from mu.data.poison_options import ALL, PREFIX, PoisonOptions
from mu.data.splits import Split
from mu.errors import UserError


@dataclass(frozen=True)
class Poison(Attack, Planted):
    """An attack, and which training images carry the trigger, and the labels they were given."""

    clean_label: bool  # whether the poisoned images are of the target class, and keep their label

    @classmethod
    def choose(
        cls,
        options: PoisonOptions,
        settings: Mapping[str, Any],
        dataset: ImageDataset,
        split: Split,
        seed: int,
    ) -> Self:
        """Choose the images to poison.

        UserError if the trigger does not fit the images, the target does not exist, or there are
        not so many images to poison.

        Parameters
        ----------
        settings
            Of the trigger, without their prefix.
        dataset
            As published.
        split
            Only its ``train`` part is poisoned: whoever defends a network has clean validation
            images.
        seed
            Of random choices.
        """
        trigger, target = cls.parts(options.trigger, settings, options.target, dataset)
        if options.target == ALL and options.clean_label:
            raise UserError(
                "clean_label=True: target=all gives every image another label; name one class"
            )
        chosen = _select(options, target, dataset, split, seed)
        pixels = dataset.train.fetch(torch.from_numpy(chosen))
        if torch.equal(trigger.apply(pixels), pixels):
            said = ", ".join(f"{PREFIX}{one}={value}" for one, value in trigger.as_dict().items())
            raise UserError(
                f"trigger={options.trigger} with {said} changes none of the {len(chosen)} images "
                "that are to be poisoned; make it stronger"
            )
        return cls(
            trigger=options.trigger,
            settings=trigger.as_dict(),
            target=target,
            clean_label=options.clean_label,
            request=options.poison,
            indices=tuple(chosen.tolist()),
        )

    @property
    def forget(self) -> str:
        """See :attr:`Planted.forget`."""
        return POISON

    @property
    def brief(self) -> str:
        """See :attr:`Planted.brief`."""
        return self.trigger

    def options(self) -> dict[str, Any]:
        """See :meth:`Attack.options`."""
        return {**super().options(), "poison": self.request, "clean_label": self.clean_label}

    def document(self) -> dict[str, Any]:
        """See :meth:`Attack.document`."""
        more = {"clean_label": self.clean_label, "poison": self.request}
        return {**super().document(), **more, "fingerprint": self.fingerprint}

    def save(self, folder: Path) -> None:
        """Write ``indices.npy`` and ``trigger.json``, for people; a spec holds it, too."""
        super().save(folder)
        np.save(folder / "indices.npy", np.array(self.indices, np.int64), allow_pickle=False)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :func:`dataclasses.asdict` made of a poison.

        ValueError if a label or sample number is none.
        """
        numbers, target = checked_numbers(values, "indices", "sample numbers"), values["target"]
        if target is not None and not is_number(target):
            raise ValueError(f"{target!r} is no label")
        return cls(**{**values, "indices": numbers})

    def apply(self, dataset: ImageDataset) -> PoisonedDataset:
        """See :meth:`Planted.apply`."""
        numbers = self.numbers(dataset)
        if not isinstance(dataset.train, Images):
            raise UserError(
                f"poisoning needs images in memory, and those of {dataset.name} are streamed; use "
                "a smaller image_size"
            )
        pixels, labels = dataset.train.pixels.clone(), dataset.train.labels.clone()
        pixels[numbers] = self.make_trigger().apply(dataset.train.pixels[numbers])
        labels[numbers] = self.aims(labels[numbers], len(dataset.classes))
        made = with_train(dataset, Images(pixels, labels))
        return PoisonedDataset(**made, clean=dataset, planted=self, attack=self)


@dataclass(frozen=True, eq=False, kw_only=True)
class PoisonedDataset(AttackedDataset, PlantedDataset):
    """A data set whose training images were poisoned; ``attack`` and ``planted`` are the same."""

    attack: Poison

    @property
    def poison(self) -> Poison:
        """What was done to it."""
        return self.attack

    @property
    def sources(self) -> tuple[int, ...]:
        """Published labels of the poisoned images that were given another one."""
        published = self.published_labels[torch.from_numpy(self.poisoned)]
        return tuple(published[self.aims(published) != published].unique().tolist())  # type: ignore[no-untyped-call]


def _select(
    options: PoisonOptions, target: int | None, dataset: ImageDataset, split: Split, seed: int
) -> Indices:
    request = ForgetRequest.parse(options.poison, option="poison")
    labels = dataset.train.labels.numpy()
    aim = -1 if target is None else target  # -1 is no label
    of_target = split.train[labels[split.train] == aim]
    if options.clean_label and target is not None and not len(of_target):
        raise UserError(
            "clean_label=True: no training image is of the target class "
            f"{dataset.classes[target]!r}; choose another target"
        )
    if options.clean_label and request.kind == "random":
        split = replace(split, train=of_target)
    chosen = request.select(dataset, split, seed)
    others = np.setdiff1d(chosen, of_target)
    if options.clean_label and len(others):
        name = dataset.classes[labels[others[0]]]
        raise UserError(
            f"clean_label=True: sample {others[0]} of poison={request.text} is of class {name!r}, "
            "not of the target; choose images of the target"
        )
    if not options.clean_label and not len(others):
        raise UserError(
            f"poison={request.text}: all of these images are of the target class already; choose "
            "others, or give clean_label=true"
        )
    return chosen
