"""Whether weights from elsewhere fit a network; where they do not, which one they would fit."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from mu.errors import UserError
from mu.foreign.entries import Entries, sort_out
from mu.foreign.files import WeightFile
from mu.foreign.places import COUNTER, Found, find_weights
from mu.models import ARCHITECTURES, STEMS, ModelSpec, is_own
from mu.models.fit import MISFITS
from mu.models.shared import second_names

Shapes = Mapping[str, Sequence[int]]
NAMED = 3  # names in an error, of however many


def entries_in(
    file: WeightFile, own: Mapping[str, Tensor], key: str | None = None
) -> tuple[Found, Entries]:
    """The weights in a file of the network whose state dict is ``own``, and what they are.

    Errors are those of :func:`find_weights` and :func:`sort_out`.
    """
    found = find_weights(file, own, key)
    return found, sort_out(found.tensors, own.keys(), found.around)


def fit(
    entries: Entries,
    model: nn.Module,
    spec: ModelSpec,
    data: str,
    read: Callable[[Mapping[str, Tensor]], tuple[Found, Entries]],
) -> list[str]:
    """Load weights into ``model``, which ``spec`` describes.

    ``data``: name of the data set, for errors. ``read``: what the file holds for a network with
    another state dict, for errors. UserError if names or shapes differ, values are not finite, or a
    weight that layers share differs. Gives the floating-point dtypes that were converted.
    """
    own, weights = model.state_dict(), _under_all_names(entries.weights, second_names(model))
    if misfit := _misfit(weights, own, spec):
        shapes = {name: one.shape for name, one in weights.items()}
        fitting = (one for one in _others(shapes, spec) if _fits(read, one))
        raise UserError(f"{misfit}; {_hint(next(fitting, None), spec, data)}")
    model.load_state_dict(
        {name: _like(name, weights.get(name, own[name]), own[name]) for name in own}
    )
    kinds = {weights[n].dtype for n in weights if own[n].is_floating_point()}
    return sorted(_dtype(kind) for kind in kinds - {one.dtype for one in own.values()})


def _under_all_names(
    weights: Mapping[str, Tensor], seconds: Mapping[str, str]
) -> dict[str, Tensor]:
    """The weights; what layers share under each of its names, where the file has one of them."""
    found = dict(weights)
    for name, first in seconds.items():
        there = [found[one] for one in (name, first) if one in found]
        if len(there) == 2 and not torch.equal(*there):
            raise UserError(
                f"{name!r} and {first!r} are one parameter of the network, but differ in the file; "
                "give an arch that does not share them"
            )
        found |= {one: there[0] for one in (name, first) if there}
    return found


def _like(name: str, tensor: Tensor, own: Tensor) -> Tensor:
    """``tensor`` in the dtype of the network's own entry."""
    if own.is_floating_point() and not tensor.is_floating_point():
        raise UserError(
            f"{name!r} holds {_dtype(tensor.dtype)} in the file, not floating-point numbers; "
            "save the weights as float32"
        )
    found = tensor.to(own.dtype)
    if own.is_floating_point() and not bool(found.isfinite().all()):
        count = int((~found.isfinite()).sum())
        raise UserError(
            f"{name!r} holds {count} numbers that are not finite (as {_dtype(own.dtype)}); the "
            "training has diverged, so give a checkpoint from before that"
        )
    return found


def kept_weights(masks: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """The masks as bool tensors, each of the shape of its parameter.

    UserError if a mask is of no parameter, or its shape differs, or it holds anything but 0 and 1.
    """
    parameters, seconds = dict(model.named_parameters()), second_names(model)
    found: dict[str, Tensor] = {}
    for given, mask in masks.items():
        name = seconds.get(given, given)
        if name not in parameters:
            raise UserError(f"the file has a mask of {name!r}, which is no parameter")
        if mask.shape != parameters[name].shape:
            raise UserError(
                f"the mask of {name!r} is {[*mask.shape]} in the file, but its weights are "
                f"{[*parameters[name].shape]}"
            )
        values = mask.double()
        if odd := values[(values != 0) & (values != 1)][:1].tolist():
            raise UserError(f"the mask of {name!r} holds {odd[0]:g}; a mask holds 0 and 1 only")
        found[name] = (values == 1) & found.get(name, torch.tensor(True))
    return found


# --- what does not fit --------------------------------------------------------------------


def _misfit(
    weights: Mapping[str, Tensor], own: Mapping[str, Tensor], spec: ModelSpec
) -> str | None:
    network = f"arch {spec.arch} with stem {spec.stem} and num_classes {spec.num_classes}"
    missing = [name for name in own if name not in weights and not name.endswith(COUNTER)]
    unexpected = [name for name in weights if name not in own]
    if missing or unexpected:
        kinds = (missing, "missing"), (unexpected, "unexpected")
        words = [_count(names, what) for names, what in kinds if names]
        return f"the file does not fit {network}: {', '.join(words)}"
    wrong = [name for name in weights if weights[name].shape != own[name].shape]
    if not wrong:
        return None
    name, more = wrong[0], f" (and {len(wrong) - 1} more differ)" if len(wrong) > 1 else ""
    shapes = f"{[*weights[name].shape]} in the file and {[*own[name].shape]} in {network}"
    return f"{name!r} is {shapes}{more}"


def _count(names: Sequence[str], what: str) -> str:
    listed = ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
    return f"{len(names)} {'entry' if len(names) == 1 else 'entries'} {what} ({listed})"


def _dtype(kind: torch.dtype) -> str:
    return str(kind).removeprefix("torch.")


def _hint(other: ModelSpec | None, spec: ModelSpec, data: str) -> str:
    """What to give, where the file would fit ``other``, a network that mu names."""
    if other is None:
        return "give the arch and stem of the file, and the dataset that it was trained on"
    differs = {k: v for k, v in other.as_dict().items() if v != getattr(spec, k)}
    given = ", ".join(f"{k}={differs[k]}" for k in ("arch", "stem") if k in differs)
    words = [f"it fits {given}: give that"] if given else []
    sizes = {
        "num_classes": "it tells {} classes apart",
        "in_channels": "it takes images of {} channels",
    }
    words += [
        f"{text.format(differs[name])}, {data} has {getattr(spec, name)}: name the dataset it "
        "was trained on"
        for name, text in sizes.items()
        if name in differs
    ]
    return "; ".join(words) or "name the weights to take with key"


def _others(shapes: Shapes, spec: ModelSpec) -> Iterator[ModelSpec]:
    """Networks that mu names, the most alike first, for the file's own classes and channels."""
    classes = [spec.num_classes, *(shape[0] for shape in shapes.values() if len(shape) == 2)]
    channels = [*(shape[1] for shape in shapes.values() if len(shape) == 4), spec.in_channels]
    sizes = {"num_classes": max(1, classes[-1]), "in_channels": max(1, channels[0])}
    known = [*ARCHITECTURES] if is_own(spec.arch) else [spec.arch, *ARCHITECTURES]
    for arch in dict.fromkeys(known):
        for stem in sorted(STEMS[1:], key=lambda one: one != spec.stem):
            yield spec.replace(arch=arch, stem=stem, **sizes)


def _fits(read: Callable[[Mapping[str, Tensor]], tuple[Found, Entries]], spec: ModelSpec) -> bool:
    try:
        with torch.device("meta"), torch.random.fork_rng(devices=[]):
            own = spec.build(0).state_dict()
        weights = read(own)[1].weights
    except (UserError, *MISFITS):
        return False  # there is none for such images, or the file has no such weights
    named = {name for name in own if not name.endswith(COUNTER)} | (own.keys() & weights.keys())
    return weights.keys() == named and all(own[n].shape == weights[n].shape for n in named)
