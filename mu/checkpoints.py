"""Checkpoint: what one run passes to the next. Weights, mask and a spec; safe formats only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from math import inf
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save as save_tensors
from torch import nn

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
from mu.masks import FILE_NAME as MASK_NAME
from mu.masks import Mask
from mu.models.fit import weights_misfit
from mu.readers.documents import read_json
from mu.readers.tensors import read_tensors
from mu.recipes.recipe import Recipe
from mu.tensors import plain
from mu.trust import Trusts, from_file, named

WEIGHTS_FILE = "checkpoint/model.safetensors"
SPEC_FILE = "checkpoint/spec.json"
MASK_FILE = f"mask/{MASK_NAME}"
MASK_SUMMARY_FILE = "mask/summary.json"
_FORMAT = "mu.checkpoint/1"


@dataclass(frozen=True)
class DataSpec:
    """Which data a model was trained on, and how it expects its images.

    Parameters
    ----------
    fingerprint
        sha256 (hex) of all pixels and labels; it decides whether data found elsewhere is the same.
    mean, std
        Per channel, of pixels scaled to 0-1.
    stream
        Whether its images are decoded as they are needed; the fingerprint is then of their files.
    poison
        What was done to the training images or their labels before the model saw them, if
        anything; the fingerprint is of the data before that.
    """

    name: str
    fingerprint: str
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    data_dir: str | None = None
    image_size: int | None = None
    poison: Planted | None = None
    stream: bool = False

    @classmethod
    def of(cls, dataset: ImageDataset) -> DataSpec:
        """The spec of a loaded data set."""
        return cls(
            dataset.name,
            dataset.fingerprint,
            dataset.classes,
            dataset.mean,
            dataset.std,
            dataset.data_dir,
            dataset.image_size,
            dataset.planted if isinstance(dataset, PlantedDataset) else None,
            dataset.streams,
        )

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], trusts: Trusts) -> DataSpec:
        """Read what :func:`dataclasses.asdict` made of a spec; ``trusts`` as in :class:`Spec`.

        Raises
        ------
        ValueError
            If a value is of no data set.
        """
        plain = {key: _tupled(value) for key, value in values.items() if key != "poison"}
        poison = values.get("poison")
        found = cls(**plain, poison=None if poison is None else _planted(poison))
        for kind, of_kind in (("text", _TEXTS), ("list of numbers", _NUMBERS)):
            for name, belongs in of_kind.items():
                if not belongs(value := getattr(found, name)):
                    raise ValueError(f"{name}={value!r} is no {kind}")
        if type(found.stream) is not bool:
            raise ValueError(f"stream={found.stream!r} is neither true nor false")
        return replace(found, name=from_file(found.name, trusts))

    def bind(self, dataset: ImageDataset) -> ImageDataset:
        """``dataset``, if it is the same data, poisoned and normalised as the model knows it.

        An imported model brings a normalisation of its own. Data that was poisoned otherwise is
        taken as it was before.

        Raises
        ------
        UserError
            If the fingerprints differ.
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
        """Refuse data that is not the same.

        Raises
        ------
        UserError
            If the fingerprints differ.
        """
        if dataset.fingerprint != self.fingerprint:
            raise UserError(
                f"the data in {dataset.data_dir or dataset.name!r} is not what the original was "
                f"trained on (fingerprint {dataset.fingerprint[:16]}, not "
                f"{self.fingerprint[:16]}); name the same data with data_dir"
            )


@dataclass(frozen=True)
class Spec:
    """Everything about a checkpoint that is not weights.

    Parameters
    ----------
    recipe
        How the original was made: architecture, training, pruning, split, seed.
    removed
        Sample numbers that have been unlearned since, sorted.
    history
        What was done to it, in words: ``pruned``, then ``l1_sparse``, ...
    """

    data: DataSpec
    recipe: Recipe
    removed: tuple[int, ...] = ()
    history: tuple[str, ...] = ()

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
        gone = torch.isin(torch.from_numpy(whole.train), torch.tensor(self.removed).long()).numpy()
        return Split(whole.train[~gone], whole.val, whole.unused)

    def forget_split(self, dataset: ImageDataset, request: ForgetRequest) -> ForgetSplit:
        """What is to be forgotten of a model with this spec.

        Raises
        ------
        UserError
            If the request does not fit the data.
        """
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
        """Read what :meth:`as_dict` gave.

        Parameters
        ----------
        trusts
            Whether a function that the spec names as architecture or data set may be imported;
            by default those that ``MU_TRUST`` names. Others are refused when they are needed, so
            that a spec can be read for what else it says.

        Raises
        ------
        UserError
            If it is no spec, or of a newer format.
        """
        try:
            if document.get("format") != _FORMAT:
                raise UserError("the spec has a format that this version of mu does not read")
            trusts, recipe = trusts or named(), Recipe.from_dict(document["recipe"])
            model = recipe.model.replace(arch=from_file(recipe.model.arch, trusts))
            data, history = DataSpec.from_dict(document["data"], trusts), document["history"]
            if not all(isinstance(done, str) for done in history):
                raise ValueError(f"history={history!r} are no names")
            removed = _sample_numbers(document["removed"])
            return cls(data, replace(recipe, model=model), removed, tuple(history))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"the checkpoint's spec is damaged: {error!r}") from error

    def to_json(self, files: dict[str, str]) -> str:
        """The spec as JSON, with the sha256 of the files it belongs to."""
        document = {**self.as_dict(), "files": files}
        return json.dumps({**document, "digest": digest_of(document)}, indent=1) + "\n"

    @classmethod
    def from_json(
        cls, content: bytes | str, trusts: Trusts | None = None
    ) -> tuple[Spec, dict[str, str]]:
        """Read what :meth:`to_json` wrote; ``trusts`` as in :meth:`from_dict`.

        Raises
        ------
        UserError
            If it is no spec, or of a newer format.
        """
        try:
            document = read_json(content)
            if document.get("format") == _FORMAT and document.pop("digest") != digest_of(document):
                raise ValueError("its contents do not fit its digest")
            spec = cls.from_dict(document, trusts)
            return spec, dict(document["files"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"the checkpoint's spec is damaged: {error!r}") from error


def _planted(values: Mapping[str, Any]) -> Planted:
    """Wrong labels with a trigger, or without one."""
    return Poison.from_dict(values) if "trigger" in values else WrongLabels.from_dict(values)


def _sample_numbers(values: Any) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(type(n) is int and 0 <= n < LARGEST for n in values):
        raise ValueError(f"{values!r} are no sample numbers")
    return tuple(values)


def _tupled(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _are_numbers(value: Any, above: float = -inf) -> bool:
    return isinstance(value, tuple) and all(
        type(one) in (int, float) and above < one < inf for one in value
    )


# Whether a value is one of a data set, by its name.
_TEXTS: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("name", "fingerprint"), lambda value: isinstance(value, str)),
    "data_dir": lambda value: value is None or isinstance(value, str),
    "classes": lambda value: isinstance(value, tuple) and all(isinstance(c, str) for c in value),
}
_NUMBERS: dict[str, Callable[[Any], bool]] = {
    "mean": _are_numbers,
    "std": lambda value: _are_numbers(value, above=0.0),
    "image_size": lambda value: value is None or (type(value) is int and 0 < value <= LARGEST_SIDE),
}


@dataclass
class Checkpoint:
    """A network with its mask and its spec. An unlearning method edits it in place.

    Parameters
    ----------
    model
        The network, with plain parameter names; pruned weights are exactly zero.
    mask
        Which prunable weights may be non-zero.
    """

    model: nn.Module
    mask: Mask
    spec: Spec

    def __post_init__(self) -> None:
        self.mask.check(self.model)

    @property
    def fingerprint(self) -> str:
        """sha256 (hex) of the weights, as the file that :meth:`save` writes has it."""
        return hashlib.sha256(self._weights()).hexdigest()

    def _weights(self) -> bytes:
        return save_tensors(plain(self.model.state_dict()), metadata={"format": "pt"})

    def save(self, folder: Path) -> dict[str, str]:
        """Write ``checkpoint/`` and ``mask/`` below ``folder``.

        Returns
        -------
        dict
            The sha256 (hex) of weights, mask and spec, by relative path.
        """
        contents = {WEIGHTS_FILE: self._weights(), MASK_FILE: self.mask.to_bytes()}
        digests = {name: hashlib.sha256(content).hexdigest() for name, content in contents.items()}
        contents[SPEC_FILE] = self.spec.to_json(digests).encode()
        digests[SPEC_FILE] = hashlib.sha256(contents[SPEC_FILE]).hexdigest()
        contents[MASK_SUMMARY_FILE] = (json.dumps(self.mask.summary(), indent=1) + "\n").encode()
        for name, content in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        return digests

    @classmethod
    def load(cls, folder: Path, trusts: Trusts | None = None) -> Checkpoint:
        """Read what :meth:`save` wrote, onto the CPU.

        No code runs but mu's, and that of the function that builds the network, where the spec
        names one that is trusted: ``trusts`` as in :meth:`Spec.from_dict`.

        Raises
        ------
        UserError
            If a file is missing, differs from the sha256 in the spec, or does not fit; or if the
            network is built by a function that is not trusted.
        """
        model, spec = load_network(folder / Path(SPEC_FILE).parent, trusts)
        _read(folder / MASK_FILE, MASK_FILE, _spec_in(folder / SPEC_FILE)[1])
        return cls(model, Mask.load(folder / MASK_FILE), spec)


def load_network(folder: Path, trusts: Trusts | None = None) -> tuple[nn.Module, Spec]:
    """Read the network of a ``checkpoint/`` folder, without its mask; pruned weights are zero.

    What runs, and the errors, are those of :meth:`Checkpoint.load`.
    """
    spec, files = _spec_in(folder / Path(SPEC_FILE).name, trusts)
    weights = _read(folder / Path(WEIGHTS_FILE).name, WEIGHTS_FILE, files)
    try:
        tensors, _ = read_tensors(weights)
    except ValueError as error:
        raise UserError(f"{WEIGHTS_FILE} is damaged: {error}") from error
    network, data = spec.recipe.model, spec.data
    if misfit := weights_misfit(network, tensors):
        raise UserError(f"{WEIGHTS_FILE} does not fit {network.arch}: {misfit}; copy it anew")
    if (len(data.mean), len(data.classes)) != (network.in_channels, network.num_classes):
        raise UserError(f"{SPEC_FILE} is damaged: its network and its data do not fit")
    model = network.build(seed=spec.recipe.seed)
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:300]  # of torch, with the names of all weights
        raise UserError(f"{WEIGHTS_FILE} does not fit {network.arch}: {reason}") from error
    return model.eval(), spec


def _spec_in(path: Path, trusts: Trusts | None = None) -> tuple[Spec, dict[str, str]]:
    """The spec of a checkpoint, and the sha256 of its files."""
    return Spec.from_json(_read(path, SPEC_FILE), trusts)


def _read(path: Path, name: str, files: Mapping[str, str] | None = None) -> bytes:
    """The file ``name`` of a checkpoint, checked where the sha256 of its files are given."""
    if not path.is_file():
        raise UserError(
            f"there is no {name} in {str(path.parents[1])!r}; it is not a checkpoint of mu"
        )
    content = path.read_bytes()
    if files is not None and hashlib.sha256(content).hexdigest() != files.get(name):
        raise UserError(f"{name} is damaged: its sha256 is not the one in {SPEC_FILE}")
    return content


def forget_split(checkpoint: Checkpoint, dataset: ImageDataset, forget: str) -> ForgetSplit:
    """Cut the checkpoint's training set by a request such as ``class:3``.

    Parameters
    ----------
    forget
        ``class:3``, ``class:0,3,7``, ``class:3:200``, ``random:450``, ``random:10%`` or
        ``indices:FILE``; of a poisoned original ``poison``, too, and of one with planted wrong
        labels ``canary:20`` or ``confusion:3,5:20``.

    Raises
    ------
    UserError
        If the data is not what the checkpoint was trained on, or the request does not fit it.
    """
    spec = checkpoint.spec
    return spec.forget_split(spec.data.bind(dataset), ForgetRequest.parse(forget))
