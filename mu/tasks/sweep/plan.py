"""The plan of a sweep: originals, their oracles, and the cells that are compared with them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mu.digests import digest_of

KINDS = ("original", "oracle", "cell")


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
        Settings, JSON-ready: of an original its own, by the names of the command line; of the
        others ``forget``, ``forget_set`` (fingerprint), ``method``, ``settings`` and ``seed``
        (None: the original's own).
    """

    key: str
    kind: str
    label: str
    needs: tuple[str, ...]
    what: Mapping[str, Any]


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
    """

    key: str
    settings: Mapping[str, Any]
    forget_sets: Mapping[str, str]


@dataclass(frozen=True)
class Plan:
    """All tasks, in an order in which nothing comes before what it needs."""

    tasks: tuple[Task, ...]

    def __getitem__(self, key: str) -> Task:
        return self.by_key[key]

    @property
    def by_key(self) -> dict[str, Task]:
        """The tasks by their keys."""
        return {task.key: task for task in self.tasks}

    def of_kind(self, kind: str) -> list[Task]:
        """The tasks of one kind."""
        return [task for task in self.tasks if task.kind == kind]

    @property
    def digest(self) -> str:
        """sha256 (hex) of what is to be there in the end, in whatever order it was written."""
        return digest_of(sorted(task.key for task in self.tasks))


def make_plan(
    originals: Sequence[PlannedOriginal],
    methods: Iterable[tuple[str, Mapping[str, Any]]],
    seeds: Iterable[int],
    oracle: Mapping[str, Any] | None,
) -> Plan:
    """Combine every original with its forget sets, every method and every seed.

    What would be the same is planned once, however often it was written. An original's oracles
    and cells follow it at once, so that a sweep shows results early and what is loaded for one
    serves the next.

    Parameters
    ----------
    methods
        Name and settings of each, all settings resolved.
    oracle
        The resolved settings of ``retrain``; None for no oracle.
    """
    methods, seeds = list(methods), list(seeds)
    labels = _Labels(originals, methods)
    tasks: dict[str, Task] = {}
    for original in originals:
        name = labels.of_original(original.settings)
        what: dict[str, Any] = {"settings": dict(original.settings)}
        tasks.setdefault(original.key, Task(original.key, "original", name, (), what))
        for forget, forget_set in original.forget_sets.items():
            about = {"forget": forget, "forget_set": forget_set}
            needs: tuple[str, ...] = (original.key,)
            if oracle is not None:
                what = {**about, "method": "retrain", "settings": dict(oracle), "seed": None}
                task = _after(original, "oracle", f"oracle of {forget}, {name}", needs, what)
                tasks.setdefault(task.key, task)
                needs = (*needs, task.key)
            for (method, settings), seed in _product(methods, seeds):
                what = {**about, "method": method, "settings": dict(settings), "seed": seed}
                label = f"{labels.of_method(method, settings)} {forget} seed={seed}, {name}"
                task = _after(original, "cell", label, needs, what)
                tasks.setdefault(task.key, task)
    return Plan(tuple(tasks.values()))


def _product(
    methods: Sequence[tuple[str, Mapping[str, Any]]], seeds: Sequence[int]
) -> Iterator[tuple[tuple[str, Mapping[str, Any]], int]]:
    for method in methods:
        for seed in seeds:
            yield method, seed


def _after(
    original: PlannedOriginal,
    kind: str,
    label: str,
    needs: tuple[str, ...],
    what: Mapping[str, Any],
) -> Task:
    same = {name: value for name, value in what.items() if name != "forget"}  # a mere spelling
    return Task(digest_of([kind, original.key, same]), kind, label, needs, what)


class _Labels:
    """Words that tell tasks of one plan apart, by what differs between them."""

    def __init__(
        self,
        originals: Sequence[PlannedOriginal],
        methods: Sequence[tuple[str, Mapping[str, Any]]],
    ) -> None:
        self._originals = _differing([one.settings for one in originals])
        self._methods = {
            name: _differing([settings for other, settings in methods if other == name])
            for name, _ in methods
        }

    def of_original(self, settings: Mapping[str, Any]) -> str:
        said = [f"{name}={settings[name]}" for name in self._originals if name in settings]
        return " ".join(said) or "the original"

    def of_method(self, name: str, settings: Mapping[str, Any]) -> str:
        said = [f"{one}={settings[one]}" for one in self._methods[name] if one in settings]
        return " ".join([name, *said])


def _differing(groups: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names whose values are not the same in all."""
    names = dict.fromkeys(name for group in groups for name in group)
    return [
        name for name in names if len({repr(group.get(name, "(none)")) for group in groups}) > 1
    ]
