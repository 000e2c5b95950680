"""Wrong labels planted in a training set: canaries, and two classes whose labels are exchanged.

No image changes, so every network that gives such a sample its planted label has memorised it, or
has taken over the confusion.

References
----------
Carlini, Liu, Erlingsson, Kos & Song (2019), The Secret Sharer, USENIX Security, arXiv:1802.08232:
canaries are records that are planted so that what a network remembers of them can be measured.
Goel, Prabhu, Sanyal, Lim, Torr & Kumaraguru (2022), Towards Adversarial Evaluations for Inexact
Machine Unlearning, arXiv:2201.06640: the interclass confusion test.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch

from mu.data.class_names import Named
from mu.data.forget_request import CANARY, CONFUSION, OPTIONS, ForgetRequest, planting
from mu.data.images import ImageDataset, Indices
from mu.data.planted import Planted, PlantedDataset, checked_numbers, with_train
from mu.data.splits import Split
from mu.data.wrong_label_options import WrongLabelOptions
from mu.errors import UserError

_SPELLING = re.compile(rf"{CANARY}:[1-9]\d*|{CONFUSION}:\d+,\d+:[1-9]\d*")


@dataclass(frozen=True)
class WrongLabels(Planted):
    """Which training samples are given which label that is not theirs.

    ``request``: what ``forget`` calls them: ``canary:20``, or ``confusion:3,5:20``. ``labels``: the
    planted labels, one for each of ``indices``.
    """

    labels: tuple[int, ...]

    @classmethod
    def choose(
        cls, options: WrongLabelOptions, dataset: ImageDataset, split: Split, seed: int
    ) -> Self | None:
        """Draw the samples and their labels; None where no wrong labels are wanted.

        UserError if there are not so many samples, or the classes do not exist or are not two.
        ``dataset``: as published. ``split``: only its ``train`` part is changed. ``seed``: of the
        draws; the split's seed.
        """
        request = _request(options)
        if request is None:
            return None
        if request.kind == CANARY:
            indices, labels = _canaries(request, dataset, split, seed)
        else:
            indices, labels = _confused(request, dataset, split, seed)
        meant = request.planted_in(dataset)
        return cls(meant, tuple(indices.tolist()), tuple(labels.tolist()))

    @property
    def forget(self) -> str:
        """See :attr:`Planted.forget`."""
        return self.request

    @property
    def brief(self) -> str:
        """See :attr:`Planted.brief`."""
        return self.request

    @property
    def pair(self) -> tuple[int, int] | None:
        """See :attr:`Planted.pair`."""
        kind, _, rest = self.request.partition(":")
        if kind != CONFUSION:
            return None
        one, other = rest.partition(":")[0].split(",")
        return int(one), int(other)

    def planting(self) -> dict[str, Any]:
        """See :meth:`Planted.planting`."""
        return planting(self.request)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Read what :func:`dataclasses.asdict` made of them.

        ValueError if a label or sample number is none, or the request is no request.
        """
        indices = checked_numbers(values, "indices", "sample numbers")
        labels, request = checked_numbers(values, "labels", "labels"), values["request"]
        if len(labels) != len(indices):
            raise ValueError(f"{len(indices)} samples have {len(labels)} planted labels")
        if not isinstance(request, str) or not _SPELLING.fullmatch(request):
            raise ValueError(f"{request!r} says nothing of wrong labels")
        return cls(request, indices, labels)

    def apply(self, dataset: ImageDataset) -> PlantedDataset:
        """See :meth:`Planted.apply`; images may be streamed."""
        labels = dataset.train.labels.clone()
        labels[self.numbers(dataset)] = torch.tensor(self.labels, dtype=torch.int64)
        made = with_train(dataset, dataset.train.relabelled(labels))
        return PlantedDataset(**made, clean=dataset, planted=self)


def spelled(settings: Mapping[str, Any], data: Named) -> dict[str, Any]:
    """Settings of an original, with classes whose labels are exchanged by number, as it logs them.

    UserError if the classes do not exist or are not two.
    """
    text = settings.get(OPTIONS[CONFUSION])
    if text is None:
        return dict(settings)
    meant = _confusion(text).planted_in(data).partition(":")[2]
    return {**settings, OPTIONS[CONFUSION]: meant}


def _request(options: WrongLabelOptions) -> ForgetRequest | None:
    if options.canaries is not None and options.confusion is not None:
        raise UserError(
            f"canaries={options.canaries} and confusion={options.confusion}: plant one of them, so "
            "that it can be told what is forgotten; leave the other out"
        )
    if options.canaries is not None:
        return ForgetRequest(CANARY, str(options.canaries), "canaries", count=options.canaries)
    return None if options.confusion is None else _confusion(options.confusion)


def _confusion(text: str) -> ForgetRequest:
    """``3,5:20``: two classes and a number."""
    name, _, count = text.rpartition(":")
    if not name or not re.fullmatch(r"[1-9]\d{0,17}", count):
        raise UserError(
            f"confusion={text!r} is not understood; write two classes and how many samples of each "
            "are given the label of the other, such as 3,5:20"
        )
    return ForgetRequest(CONFUSION, text, "confusion", class_name=name, count=int(count))


def _canaries(
    request: ForgetRequest, dataset: ImageDataset, split: Split, seed: int
) -> tuple[Indices, Indices]:
    """The samples that ``forget=random:N`` would choose, each with another class, drawn evenly."""
    indices = replace(request, kind="random").select(dataset, split, seed)
    published = dataset.train.labels.numpy()
    classes = np.unique(published[split.train])
    if len(classes) < 2:
        raise UserError(
            f"canaries={request.count}: a wrong label needs two classes, and the training set has "
            f"{len(classes)}; leave canaries out"
        )
    if len(indices) == len(split.train):
        raise UserError(
            f"canaries={request.count}: all training samples would have a wrong label; give fewer"
        )
    further = np.random.default_rng([seed, 2]).integers(1, len(classes), size=len(indices))
    own = np.searchsorted(classes, published[indices])
    return indices, classes[(own + further) % len(classes)]


def _confused(
    request: ForgetRequest, dataset: ImageDataset, split: Split, seed: int
) -> tuple[Indices, Indices]:
    """So many samples of each of two classes, with the label of the other."""
    meant = request.planted_in(dataset)
    one, other = (int(name) for name in meant.split(":")[1].split(","))
    draws, published = np.random.default_rng([seed, 3]), dataset.train.labels.numpy()
    count, chosen = request.count or 0, []
    for label in (one, other):
        pool = split.train[published[split.train] == label]
        if count >= len(pool):
            raise UserError(
                f"confusion={request.text}: only {len(pool)} training samples are of class "
                f"{dataset.classes[label]!r}, and one at least has to keep its label; give fewer"
            )
        chosen.append(draws.permutation(pool)[:count])
    indices = np.sort(np.concatenate(chosen))
    return indices, np.where(published[indices] == one, other, one)
