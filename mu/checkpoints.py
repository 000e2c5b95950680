"""Checkpoint: what one run passes to the next. Weights, mask and a spec; safe formats only."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from safetensors.torch import save as save_tensors
from torch import nn

from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.file_names import MASK_FILE, MASK_SUMMARY_FILE, SPEC_FILE, WEIGHTS_FILE
from mu.masks import Mask
from mu.models.fit import weights_misfit
from mu.readers.tensors import read_tensors
from mu.spec import DataSpec, Spec
from mu.tensors import plain
from mu.trust import Trusts

__all__ = ["Checkpoint", "DataSpec", "Spec", "forget_split", "load_network"]


@dataclass
class Checkpoint:
    """A network with its mask and its spec. An unlearning method edits it in place."""

    model: nn.Module  # with plain parameter names; pruned weights are exactly zero
    mask: Mask  # which prunable weights may be non-zero
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

        Gives the sha256 (hex) of weights, mask and spec, by relative path.
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
        names one that is trusted: ``trusts`` as in :meth:`Spec.from_dict`. UserError if a file is
        missing, differs from the sha256 in the spec, or does not fit; or if the network is built
        by a function that is not trusted.
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
    """Cut the checkpoint's training set by a request.

    ``forget``: ``class:3``, ``class:0,3,7``, ``class:3:200``, ``random:450``, ``random:10%`` or
    ``indices:FILE``; of a poisoned original ``poison``, too, and of one with planted wrong labels
    ``canary:20`` or ``confusion:3,5:20``. UserError if the data is not what the checkpoint was
    trained on, or the request does not fit it.
    """
    spec = checkpoint.spec
    return spec.forget_split(spec.data.bind(dataset), ForgetRequest.parse(forget))
