"""The plan of a sweep: originals, their oracles, and the unlearnings compared with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mu.checkpoints import Spec
from mu.digests import digest_of

# As sweep.json and the parameters of runs have them; an unlearning is a cell of the grid.
KINDS = {"original": "originals", "oracle": "oracles", "cell": "cells"}
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class Task:
    """One run that is to be there in the end.

    Parameters
    ----------
    key
        Fingerprint of what the task is; no other task of the plan has it.
    kind
        One of :data:`KINDS`.
    label
        In words, for people.
    needs
        Keys of the tasks that must be done before, the original first.
    what
        Settings, JSON-ready: of an original those of ``prune``; of the others ``forget``,
        ``forget_set`` (fingerprint), ``method``, ``settings`` and ``seed`` (None: the original's).
    """

    key: str
    kind: str
    label: str
    needs: tuple[str, ...]
    what: Settings

    @property
    def original(self) -> str:
        """The key of the original that the task is about."""
        return self.needs[0] if self.needs else self.key

    @property
    def group(self) -> str:
        """Tasks of one group take about as long: the method, or the kind."""
        return str(self.what.get("method", self.kind))


@dataclass(frozen=True)
class PlannedOriginal:
    """An original of a plan.

    Parameters
    ----------
    key
        Fingerprint of data and recipe.
    settings
        As given, by the names of the command line.
    forget_sets
        Fingerprint of the sample numbers that each spelling means in this original.
    spec
        Data and recipe.
    retained
        sha256 (hex) of the retained sample numbers, by fingerprint of the forget set.
    """

    key: str
    settings: Settings
    forget_sets: Mapping[str, str]
    spec: Spec
    retained: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """All tasks, in an order in which nothing comes before what it needs.

    Parameters
    ----------
    originals
        By their keys.
    device
        What was given of the device.
    """

    tasks: tuple[Task, ...]
    originals: Mapping[str, PlannedOriginal]
    device: Settings = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[Task]:
        """The tasks of one kind."""
        return [task for task in self.tasks if task.kind == kind]

    @property
    def digest(self) -> str:
        """sha256 (hex) of what is to be there in the end, in whatever order it was written."""
        return digest_of(sorted(task.key for task in self.tasks))

    def spec(self, task: Task) -> Spec:
        """Data and recipe of the original that a task is about."""
        return self.originals[task.original].spec

    def seed(self, task: Task) -> int:
        """The seed of an oracle or an unlearning."""
        seed = task.what["seed"]
        return self.spec(task).recipe.seed if seed is None else int(seed)


def make_plan(
    originals: Sequence[PlannedOriginal],
    methods: Sequence[tuple[str, Settings]],
    seeds: Sequence[int],
    oracle: Settings | None,
    device: Settings | None = None,
) -> Plan:
    """Combine every original with its forget sets, every method and every seed.

    What would be the same is planned once, however often it was written. An original's oracles
    and unlearnings follow it at once, so that a sweep shows results early and what is loaded for
    one serves the next.

    Parameters
    ----------
    methods
        Name and settings of each, all settings resolved.
    oracle
        The resolved settings of ``retrain``; None for no oracle.
    """
    title_of = _namer([one.settings for one in originals])
    how_of = {
        name: _namer([settings for other, settings in methods if other == name])
        for name, _ in methods
    }
    tasks: dict[str, Task] = {}

    def add(kind: str, label: str, needs: tuple[str, ...], what: Settings) -> str:
        same = {name: value for name, value in what.items() if name != "forget"}  # a mere spelling
        key = digest_of([kind, needs[0], same])
        tasks.setdefault(key, Task(key, kind, label, needs, what))
        return key

    for original in originals:
        key, title = original.key, title_of(original.settings) or "the original"
        task = Task(key, "original", title, (), {"settings": dict(original.settings)})
        tasks.setdefault(key, task)
        for forget, forget_set in original.forget_sets.items():
            about: dict[str, Any] = {"forget": forget, "forget_set": forget_set}
            needs: tuple[str, ...] = (key,)
            if oracle is not None:
                what = {**about, "method": "retrain", "settings": dict(oracle), "seed": None}
                needs = (key, add("oracle", f"oracle of {forget}, {title}", needs, what))
            for (method, settings), seed in itertools.product(methods, seeds):
                what = {**about, "method": method, "settings": dict(settings), "seed": seed}
                how = f"{method} {how_of[method](settings)}".strip()
                add("cell", f"{how} {forget} seed={seed}, {title}", needs, what)
    return Plan(tuple(tasks.values()), {one.key: one for one in originals}, dict(device or {}))


def _namer(groups: Sequence[Settings]) -> Callable[[Settings], str]:
    """Words that tell groups of settings apart, by the names whose values are not all the same."""
    names = [
        name
        for name in dict.fromkeys(name for group in groups for name in group)
        if len({repr(group.get(name, "(none)")) for group in groups}) > 1
    ]
    return lambda group: " ".join(f"{name}={group[name]}" for name in names if name in group)
