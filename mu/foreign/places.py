"""Where in a file the weights of a network are: under which key, behind which prefix.

Names in a file are a tree (``state_dict.model.conv1.weight``), whether a step of it is a mapping or
a prefix that a wrapper added. So a place is what stands before the network's names, and a file may
have several: the weights, their moving average, those of a teacher.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from mu.errors import UserError, unknown
from mu.foreign.files import WeightFile

# What wrappers put between the names of modules: torch.compile; DataParallel, DDP and
# AveragedModel; FSDP; checkpointing of activations.
WRAPPERS = {"_orig_mod", "module", "_fsdp_wrapped_module", "_checkpoint_wrapped_module"}
COUNTER = "num_batches_tracked"  # of batch normalisation; old files lack it, nothing reads it
# Words of places that are taken only where there is no other, and of places without weights.
SECONDARY = {"ema", "swa", "avg", "average", "averaged", "teacher", "shadow", "init", "initial"}
OTHER = re.compile(r"optim|sched|scaler|(^|\.)opt(\.|$)")
NAMED, LONGEST = 6, 100  # names in a message, of however many, and letters of each


@dataclass(frozen=True, eq=False)
class Found:
    """The weights of a network in a file."""

    # What stands before the network's names, with a dot at its end; empty if nothing does.
    place: str
    tensors: Mapping[str, Tensor]  # all of the place, by the network's names
    others: Sequence[str]  # further places where all of the network's names are
    # Tensors of the same mapping in front of or behind the network, by their names.
    around: Mapping[str, Tensor]
    left: Sequence[str]  # names of the tensors that are of none of these places


class _Entry(NamedTuple):
    """A tensor, its name in the file, and the mapping there that holds it."""

    tensor: Tensor
    name: str
    home: str


_Names = Mapping[str, _Entry]  # by names without what wrappers put between them
_Own = Mapping[str, Tensor]  # the state dict of a network


def find_weights(file: WeightFile, own: _Own, key: str | None = None) -> Found:
    """The weights of the network whose state dict is ``own``.

    They are where all of its names are, with its shapes if possible; of several such places the
    first that is no average. Where there is none, the place where most names are. ``key``: the
    place to take, or what it begins with. UserError if nothing lies under ``key``, or a tensor
    there is sparse, quantised or without values.
    """
    names = _without_wrappers(file, own)
    complete, under = _complete(names, own), names
    if key is not None:
        start = f"{key.strip('.')}."
        under = {
            one: entry
            for one, entry in names.items()
            if one.startswith(start) or entry.name.startswith(start)
        }
        if not under:
            raise unknown("key", key, {shown(one) for one in complete} or {*file.homes.values()})
    place = next(iter(_complete(under, own)), None)
    if place is None:
        place = _likeliest(under, own)
    inside = _inside(under, place, own)
    found = {one.removeprefix(place): entry for one, entry in inside.items()}
    _check_plain(file, found.values())
    others = [one for one in complete if one != place]
    homes = {entry.home for entry in inside.values()}
    left = {one: entry for one, entry in names.items() if one not in inside}
    gone = {one for other in others for one in _inside(names, other, own)}
    return Found(
        place,
        {one: entry.tensor for one, entry in found.items()},
        [shown(one) for one in others],
        {one: entry.tensor for one, entry in left.items() if entry.home in homes},
        [one for one in left if one not in gone],
    )


def shown(place: str) -> str:
    """A place as ``key`` names it."""
    return place.rstrip(".")


def _without_wrappers(file: WeightFile, own: _Own) -> _Names:
    """The tensors of a file, without the words of wrappers; two that would be one keep theirs."""
    words = WRAPPERS - {word for name in own for word in name.split(".")}
    found: dict[str, _Entry] = {}
    for name, tensor in file.tensors.items():
        short = ".".join(word for word in name.split(".") if word not in words)
        one = name if short in file.tensors or short in found else short
        found[one] = _Entry(tensor, name, file.homes[name])
    return found


def _shape(names: _Names, one: str) -> torch.Size | None:
    """The shape of the tensor of that name, or of its weights before the mask."""
    entry = names.get(one) or names.get(f"{one}_orig")
    return entry.tensor.shape if entry else None


def _complete(names: _Names, own: _Own) -> list[str]:
    """Places where all of the network's names are, those of averages last.

    Where some have the network's shapes, those only.
    """
    needed = [name for name in own if not name.endswith(COUNTER)]
    if not needed:
        return [""]
    places = dict.fromkeys(
        one.removesuffix("_orig").removesuffix(needed[0])
        for one in names
        if f".{one}".removesuffix("_orig").endswith(f".{needed[0]}")
    )
    fits: dict[str, bool] = {}
    for place in sorted(places, key=_is_secondary):
        shapes = [(_shape(names, place + name), own[name].shape) for name in needed]
        if all(found is not None for found, _ in shapes) and not OTHER.search(place):
            fits[place] = all(found == wanted for found, wanted in shapes)
    return [one for one in fits if fits[one]] or [*fits]


def _is_secondary(place: str) -> bool:
    return not SECONDARY.isdisjoint(re.split(r"[._\d]+", place.lower()))


def _likeliest(names: _Names, own: _Own) -> str:
    """The place where most of the network's names are, or else the mapping with most tensors."""
    counts: Counter[str] = Counter()
    for one in names:
        words = one.split(".")
        for cut in range(len(words)):
            if ".".join(words[cut:]).removesuffix("_orig") in own:
                counts["".join(f"{word}." for word in words[:cut])] += 1
    if not counts:
        homes = Counter(entry.home for entry in names.values())
        counts.update({f"{home}." if home else "": count for home, count in homes.items()})
    return max(counts, key=lambda one: (not OTHER.search(one), counts[one], not _is_secondary(one)))


def _inside(names: _Names, place: str, own: _Own) -> dict[str, _Entry]:
    """What begins with ``place``, in the mappings that hold the network's tensors."""
    found = {one: entry for one, entry in names.items() if one.startswith(place)}
    homes = {
        entry.home
        for one, entry in found.items()
        if one.removeprefix(place).removesuffix("_orig") in own
    }
    return {one: entry for one, entry in found.items() if entry.home in homes or not homes}


def _check_plain(file: WeightFile, entries: Iterable[_Entry]) -> None:
    for one, name, _ in entries:
        if one.layout != torch.strided or one.is_meta or one.is_quantized or one.is_complex():
            raise UserError(
                f"{name!r} in {str(file.path)!r} is no plain tensor of numbers (it is sparse, "
                "quantised, complex or without values); save it as float32"
            )


def in_words(place: str, tensors: Iterable[str], values: Mapping[str, Any]) -> list[str]:
    """What else is in a file, by the steps at which it parts from ``place``.

    ``tensors``, ``values``: their names, and what is no tensor by its name.
    """
    groups: dict[str, list[str]] = {_parting(name, place): [] for name in (*tensors, *values)}
    for name in tensors:
        groups[_parting(name, place)].append(name)
    words = []
    for group, names in groups.items():
        kind = values.get(group)
        if isinstance(kind, type):
            words.append(f"{group} ({kind.__name__})")
        else:
            words.append(f"{group} ({len(names)} tensors)" if names[1:] else (*names, group)[0])
    words, more = [word[:LONGEST] for word in words], len(words) - NAMED
    return words if more <= 0 else [*words[:NAMED], f"{more} more"]


def _parting(name: str, place: str) -> str:
    """The beginning of ``name`` up to the first step that is not of ``place``."""
    words, steps = name.split("."), place.split(".")
    pairs = enumerate(zip(words, steps, strict=False))
    same = next((number for number, (one, other) in pairs if one != other), 0)
    return ".".join(words[: same + 1])
