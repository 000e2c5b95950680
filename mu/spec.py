"""Spec: everything about a checkpoint that is not weights, in plain values."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from math import inf
from typing import Any

import numpy as np

from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Indices
from mu.data.planted import Planted, PlantedDataset
from mu.data.poison import Poison
from mu.data.splits import Split
from mu.data.wrong_labels import WrongLabels
from mu.digests import digest_of
from mu.errors import UserError
from mu.hyperparameters import LARGEST, LARGEST_SIDE
from mu.readers.documents import read_json
from mu.recipes.recipe import Recipe
from mu.trust import Trusts, from_file, named

_FORMAT = "mu.checkpoint/1"


@dataclass(frozen=True)
class DataSpec:
    """Which data a model was trained on, and how it expects its images."""

    name: str
    fingerprint: str  # sha256 (hex) of all pixels and labels, before anything was planted
    classes: tuple[str, ...]
    mean: tuple[float, ...]  # per channel, of pixels scaled to 0-1; std likewise
    std: tuple[float, ...]
    data_dir: str | None = None
    image_size: int | None = None
    poison: Planted | None = None  # what was done to images or labels before the model saw them
    stream: bool = False  # whether images are decoded as needed; the fingerprint is of their files

    @classmethod
    def of(cls, dataset: ImageDataset) -> DataSpec:
        """The spec of a loaded data set."""
        planted = dataset.planted if isinstance(dataset, PlantedDataset) else None
        same = ("name", "fingerprint", "classes", "mean", "std", "data_dir", "image_size")
        values = {name: getattr(dataset, name) for name in same}
        return cls(**values, poison=planted, stream=dataset.streams)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], trusts: Trusts) -> DataSpec:
        """Read what :func:`dataclasses.asdict` made of a spec; ``trusts`` as in :class:`Spec`.

        ValueError if a value is of no data set.
        """
        plain: dict[str, Any] = {
            n: tuple(one) if isinstance(one, list) else one for n, one in values.items()
        }
        if (poison := values.get("poison")) is not None:
            kind = Poison if "trigger" in poison else WrongLabels
            plain["poison"] = kind.from_dict(poison)
        found = cls(**plain)
        for name, belongs in _BELONGS.items():
            if not belongs(value := getattr(found, name)):
                raise ValueError(f"{name}={value!r} is of no data set")
        return replace(found, name=from_file(found.name, trusts))

    def bind(self, dataset: ImageDataset) -> ImageDataset:
        """``dataset``, if it is the same data, poisoned and normalised as the model knows it.

        An imported model brings a normalisation of its own. Data that was poisoned otherwise is
        taken as it was before. UserError if the fingerprints differ.
        """
        self.check(dataset)
        if isinstance(dataset, PlantedDataset) and dataset.planted != self.poison:
            dataset = dataset.clean
        if self.poison is not None and not isinstance(dataset, PlantedDataset):
            dataset = self.poison.apply(dataset)
        if (self.mean, self.std) == (dataset.mean, dataset.std):
            return dataset
        return replace(dataset, mean=self.mean, std=self.std)

    def check(self, dataset: ImageDataset) -> None:
        """Refuse data that is not the same."""
        if dataset.fingerprint != self.fingerprint:
            raise UserError(
                f"the data in {dataset.data_dir or dataset.name!r} is not what the original was "
                f"trained on (fingerprint {dataset.fingerprint[:16]}, not "
                f"{self.fingerprint[:16]}); name the same data with data_dir"
            )


@dataclass(frozen=True)
class Spec:
    """Everything about a checkpoint that is not weights."""

    data: DataSpec
    recipe: Recipe  # how the original was made: architecture, training, pruning, split, seed
    removed: tuple[int, ...] = ()  # sample numbers that have been unlearned since, sorted
    history: tuple[str, ...] = ()  # what was done to it, in words: pruned, then l1_sparse, ...

    def settings(self) -> dict[str, Any]:
        """Data and recipe in one flat mapping, by the names of the command line."""
        data: dict[str, Any] = {"dataset": self.data.name, "image_size": self.data.image_size}
        data |= {"stream": True} if self.data.stream else {}
        planted = self.data.poison.planting() if self.data.poison else {}
        return {**data, **self.recipe.settings(), **planted}

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of what makes two originals the same: the data, and how it is made.

        Where the data lies is no part of it, nor what was unlearned since.
        """
        data = self.data
        poison = "" if data.poison is None else data.poison.fingerprint
        return digest_of([data.fingerprint, data.mean, data.std, poison, self.recipe.fingerprint])

    def split(self, dataset: ImageDataset) -> Split:
        """The split that the model was trained on, without what was removed since."""
        whole = self.recipe.split_of(dataset.published_labels.numpy())
        gone = np.isin(whole.train, self.removed)
        return Split(whole.train[~gone], whole.val, whole.unused)

    def forget_split(self, dataset: ImageDataset, request: ForgetRequest) -> ForgetSplit:
        """What is to be forgotten of a model with this spec; UserError if it does not fit."""
        return request.cut(dataset, self.split(dataset), self.recipe.split.split_seed)

    def without(self, forget: Indices, method: str) -> Spec:
        """The spec after ``method`` has unlearned the samples ``forget``."""
        removed = tuple(sorted({*self.removed, *(int(number) for number in forget)}))
        return replace(self, removed=removed, history=(*self.history, method))

    def as_dict(self) -> dict[str, Any]:
        """The spec in plain values, ready for JSON."""
        document = {"format": _FORMAT, **asdict(self), "recipe": self.recipe.as_dict()}
        if self.data.poison is None:  # as specs were before data could be poisoned
            del document["data"]["poison"]
        if not self.data.stream:
            del document["data"]["stream"]
        return document

    @classmethod
    def from_dict(cls, document: Mapping[str, Any], trusts: Trusts | None = None) -> Spec:
        """Read what :meth:`as_dict` gave; UserError if it is no spec, or of a newer format.

        ``trusts``: whether a function that the spec names as architecture or data set may be
        imported; by default those that ``MU_TRUST`` names. Others are refused when they are needed,
        so that a spec can be read for what else it says.
        """
        with _damage_told():
            if document.get("format") != _FORMAT:
                raise UserError("the spec has a format that this version of mu does not read")
            trusts, recipe = trusts or named(), Recipe.from_dict(document["recipe"])
            model = recipe.model.replace(arch=from_file(recipe.model.arch, trusts))
            data, history = DataSpec.from_dict(document["data"], trusts), document["history"]
            if not all(isinstance(done, str) for done in history):
                raise ValueError(f"history={history!r} are no names")
            removed = document["removed"]
            if not isinstance(removed, list) or not all(
                type(one) is int and 0 <= one < LARGEST for one in removed
            ):
                raise ValueError(f"{removed!r} are no sample numbers")
            return cls(data, replace(recipe, model=model), tuple(removed), tuple(history))

    def to_json(self, files: dict[str, str]) -> str:
        """The spec as JSON, with the sha256 of the files it belongs to."""
        document = {**self.as_dict(), "files": files}
        return json.dumps({**document, "digest": digest_of(document)}, indent=1) + "\n"

    @classmethod
    def from_json(
        cls, content: bytes | str, trusts: Trusts | None = None
    ) -> tuple[Spec, dict[str, str]]:
        """Read what :meth:`to_json` wrote, with errors and ``trusts`` of :meth:`from_dict`."""
        with _damage_told():
            document = read_json(content)
            if document.get("format") == _FORMAT and document.pop("digest") != digest_of(document):
                raise ValueError("its contents do not fit its digest")
            return cls.from_dict(document, trusts), dict(document["files"])


@contextmanager
def _damage_told() -> Iterator[None]:
    """Whatever a damaged spec raises in the block is a UserError."""
    try:
        yield
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"the checkpoint's spec is damaged: {error!r}") from error


def _are_numbers(value: Any, above: float = -inf) -> bool:
    return isinstance(value, tuple) and all(
        type(one) in (int, float) and above < one < inf for one in value
    )


# Whether a value is one of a data set, by its name.
_BELONGS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "fingerprint"), lambda value: isinstance(value, str)),
    "data_dir": lambda value: value is None or isinstance(value, str),
    "classes": lambda value: isinstance(value, tuple) and all(isinstance(c, str) for c in value),
    "mean": _are_numbers,
    "std": lambda value: _are_numbers(value, above=0.0),
    "image_size": lambda value: value is None or (type(value) is int and 0 < value <= LARGEST_SIDE),
    "stream": lambda value: type(value) is bool,
}
