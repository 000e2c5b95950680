"""The plan of a sweep: originals, their oracles, and the unlearnings compared with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mu.checkpoints import Spec
from mu.digests import digest_of

# Kinds of tasks in sweep.json, where an unlearning is a cell of the grid; and in words.
KINDS = {"original": "original", "oracle": "oracle", "cell": "unlearning"}
Settings = Mapping[str, Any]


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
class Task:
    """One run that is to be there in the end.

    Parameters
    ----------
    key
        Fingerprint of what the task is; no other task of the plan has it.
    label
        In words, for people.
    original
        That it makes or starts from.
    needs
        Keys of the tasks that must be done before, the original first.
    what
        Settings, JSON-ready: of an original those of ``prune``; of the others ``forget``,
        ``forget_set`` (fingerprint), ``method``, ``settings`` and ``seed`` (None: the original's).
    """

    key: str
    kind: str
    label: str
    original: PlannedOriginal
    needs: tuple[str, ...]
    what: Settings

    @property
    def seed(self) -> int:
        """Of an oracle or an unlearning."""
        seed = self.what["seed"]
        return self.original.spec.recipe.seed if seed is None else int(seed)

    @property
    def title(self) -> str:
        """Kind and label."""
        return f"{KINDS[self.kind]} {self.label}"


Plan = tuple[Task, ...]  # nothing comes before what it needs


def plan_digest(plan: Plan) -> str:
    """sha256 (hex) of what is to be there in the end, in whatever order it was written."""
    return digest_of(sorted(task.key for task in plan))


def make_plan(
    originals: Sequence[PlannedOriginal],
    methods: Sequence[tuple[str, Settings]],
    seeds: Iterable[int],
    oracle: Settings | None,
) -> Plan:
    """Combine every original with its forget sets, every method and every seed.

    What would be the same is planned once, however often it was written. An original's oracles
    and unlearnings follow it at once, so that results come early and what is loaded is used again.
    The settings of methods and of the oracle (``retrain``) are complete.
    """
    title_of = _namer([one.settings for one in originals])
    names = {name for name, _ in methods}
    how_of = {name: _namer([one for other, one in methods if other == name]) for name in names}
    combined = list(itertools.product(methods, seeds))

    def tasks() -> Iterator[Task]:
        for original in originals:
            title = title_of(original.settings) or "the original"
            what: Settings = {"settings": original.settings}
            yield Task(original.key, "original", title, original, (), what)
            for forget, forget_set in original.forget_sets.items():
                needs, about = [original.key], {"forget": forget, "forget_set": forget_set}
                if oracle is not None:
                    what = {**about, "method": "retrain", "settings": oracle, "seed": None}
                    task = _after(original, "oracle", f"oracle of {forget}, {title}", needs, what)
                    needs.append(task.key)
                    yield task
                for (name, settings), seed in combined:
                    what = {**about, "method": name, "settings": settings, "seed": seed}
                    how = f"{name} {how_of[name](settings)}".strip()
                    label = f"{how} {forget} seed={seed}, {title}"
                    yield _after(original, "cell", label, needs, what)

    found: dict[str, Task] = {}
    for task in tasks():
        found.setdefault(task.key, task)
    return tuple(found.values())


def _after(
    original: PlannedOriginal, kind: str, label: str, needs: Sequence[str], what: Settings
) -> Task:
    same = {name: value for name, value in what.items() if name != "forget"}  # a mere spelling
    key = digest_of([kind, original.key, same])
    return Task(key, kind, label, original, tuple(needs), what)


def _namer(groups: Sequence[Settings]) -> Callable[[Settings], str]:
    """Words that tell groups of settings apart, by the names whose values are not all the same."""
    names = dict.fromkeys(name for group in groups for name in group)
    values = {name: {repr(one.get(name, "(none)")) for one in groups} for name in names}
    return lambda one: " ".join(f"{n}={one[n]}" for n in names if len(values[n]) > 1 and n in one)
