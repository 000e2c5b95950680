"""Whole files to begin with, and how those are changed that check themselves."""

from __future__ import annotations

import io
import json
from random import Random
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from benchmarks.fuzz.mutations import NAMES, NUMBERS, TEXTS, as_json, mutate, mutate_tree
from entrypoints import backdoor, dataset, evaluate, lira, prune, sweep, transfer, unlearn
from mu.digests import digest_of

GRIDS = (
    "originals: {dataset: digits, rate: [0, 0.95], seed: [0, 1], epochs: 10}\n"
    "forget: [class:0, 'random:10%']\nmethods: [ft, ga, {l1_sparse: {l1_strength: [1, 2]}}]\n"
    "seed: [0]\noracle: train\ndevice: {device: cpu}\n",
    "originals:\n  - rate: &r [0.5, 0.9]\n    epochs: 2\n  - rate: *r\nmethods: retrain\n",
)
COMMANDS = {
    one.__name__.partition(".")[2]: one
    for one in (backdoor, dataset, evaluate, lira, prune, sweep, transfer, unlearn)
}


def npy(array: NDArray[Any]) -> bytes:
    """A npy file."""
    file = io.BytesIO()
    np.save(file, array, allow_pickle=False)
    return file.getvalue()


def npz(**arrays: Any) -> bytes:
    """A npz file."""
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def change_json(content: bytes, draws: Random) -> bytes:
    """Another JSON document."""
    if draws.random() < 0.3:
        return mutate(content, draws)
    return as_json(mutate_tree(json.loads(content), draws))


def change_spec(content: bytes, draws: Random) -> bytes:
    """Mostly with a digest that fits: it is no secret, so it stops nobody."""
    if draws.random() < 0.2:
        return mutate(content, draws)
    document = json.loads(content)
    if draws.random() < 0.2:
        places = (document["recipe"]["model"], "arch"), (document["data"], "name")
        holder, name = draws.choice(places)
        holder[name] = draws.choice(NAMES)
    else:
        document = mutate_tree(document, draws)
    if isinstance(document, dict):
        document.pop("digest", None)
        document["digest"] = digest_of(document)
    return as_json(document)


def change_grid(content: bytes, draws: Random) -> bytes:
    """Another grid."""
    if draws.random() < 0.6:
        return mutate(content, draws)
    return as_json(mutate_tree(yaml.safe_load(content), draws))  # which YAML reads, too


def words(_: bytes, draws: Random) -> bytes:
    """The words of a command line, with a NUL between them, as the system has them."""
    name = draws.choice(list(COMMANDS))
    options = [one.name or "" for one in COMMANDS[name].build([]).params]
    found = [name]
    for option in draws.sample(options, min(len(options), draws.randint(1, 4))):
        value = draws.choice((*NUMBERS, *TEXTS, *FORGETS, "digits", "cpu", "ft", "train"))
        found.append(f"--{option}={value}".replace("\0", ""))
    return "\0".join(found).encode("utf-8", "surrogatepass")


FORGETS = ("class:0", "class:0,0", "class:0" + ",0" * 5000, "random:10%", "class:3:9999999999999")
