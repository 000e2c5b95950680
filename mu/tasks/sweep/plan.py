"""The plan of a sweep, checked: originals, oracles, and the unlearnings compared with them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from mu.checkpoints import Spec
from mu.cli.entry import given_settings
from mu.cli.groups import original_groups, planted_groups
from mu.cli.options import Group, command
from mu.cli.requests import DataOptions, DeviceOptions, PruneOptions, UnlearnOptions
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit, indices_digest
from mu.data.images import ImageDataset
from mu.digests import digest_of
from mu.errors import UserError, unknown
from mu.methods import check_method, make_method, method_class
from mu.tasks.listed import forget_split
from mu.tasks.problem import TrainTask
from mu.tasks.prune import task_on, task_under_mask
from mu.tasks.resolve import load_requested
from mu.tasks.sweep.grid import Grid
from mu.tracking import Store, fingerprint_tag

# Kinds of tasks in sweep.json, where an unlearning is a cell of the grid; and in words.
KINDS = {"original": "original", "oracle": "oracle", "cell": "unlearning"}
Settings = Mapping[str, Any]


@dataclass(frozen=True)
class PlannedOriginal:
    """An original of a plan; fingerprints are sha256 (hex)."""

    key: str  # of data and recipe
    settings: Settings  # as given, by the names of the command line
    forget_sets: Mapping[str, str]  # fingerprint of what each spelling means in this original
    spec: Spec
    retained: Mapping[str, str]  # fingerprint of the retained samples, by that of the forgotten
    refused: Mapping[tuple[str, int], str] = field(default_factory=dict)
    """Why a method does not forget a set: by its spelling, and the method's place in the grid."""

    @property
    def data(self) -> DataOptions:
        """Which data; what is not given is as in the run whose mask it has, if it has one's."""
        found, masked = self.spec.data, self.settings.get("mask_run_id")
        names = {"dataset": found.name, "data_dir": found.data_dir, "image_size": found.image_size}
        return _data({**(names if masked else {}), **self.settings})


@dataclass(frozen=True)
class Task:
    """One run that is to be there in the end."""

    key: str  # fingerprint of what it is; no other task of the plan has it
    kind: str
    label: str  # in words, for people
    original: PlannedOriginal  # that it makes or starts from
    needs: tuple[str, ...]  # keys of the tasks that must be done before, the original first
    # JSON-ready: ``settings``, of an original those of ``prune``; of the others also ``method``,
    # ``forget``, ``forget_set`` (fingerprint) and ``seed`` (None: the original's).
    what: Settings

    @property
    def seed(self) -> int:
        """Of an oracle or an unlearning."""
        seed = self.what["seed"]
        return self.original.spec.recipe.seed if seed is None else int(seed)


Plan = tuple[Task, ...]  # nothing comes before what it needs


def plan_digest(plan: Plan) -> str:
    """The tag of what is to be there in the end, in whatever order it was written."""
    return fingerprint_tag(digest_of(sorted(task.key for task in plan)))


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
    combined = list(itertools.product(enumerate(methods), seeds))

    def tasks() -> Iterator[Task]:
        for original in originals:
            title = title_of(original.settings) or "the original"
            of_what = f"original {title}" if title_of(original.settings) else title
            what: Settings = {"settings": original.settings}
            yield Task(original.key, "original", title, original, (), what)
            for forget, forget_set in original.forget_sets.items():
                needs, about = [original.key], {"forget": forget, "forget_set": forget_set}
                if oracle is not None:
                    what = {**about, "method": "retrain", "settings": oracle, "seed": None}
                    task = _after(original, "oracle", f"oracle of {forget}, {of_what}", needs, what)
                    needs.append(task.key)
                    yield task
                for (number, (name, settings)), seed in combined:
                    if (forget, number) in original.refused:
                        continue
                    what = {**about, "method": name, "settings": settings, "seed": seed}
                    how = f"{name} {how_of[name](settings)}".strip()
                    label = f"{how} {forget} seed={seed}, {of_what}"
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


def plan_of(grid: Grid, device: DeviceOptions, store: Callable[[], Store]) -> Plan:
    """Check everything that was written, the cheap things first, and make the plan.

    The ``store`` is opened only where a mask is to be fetched. UserError if a name is unknown, a
    value is wrong, or no method of the grid forgets any of its sets.
    """
    methods = [_method(name, settings) for name, settings in grid.methods]
    oracle = None if grid.oracle is None else _method("retrain", grid.oracle, "oracle")[1]
    seeds = [UnlearnOptions.of({"seed": seed}).seed for seed in grid.seeds]
    originals: dict[str, PlannedOriginal] = {}
    splits: dict[tuple[str, ...], ForgetSplit] = {}
    for settings, texts in _with_forget_sets(grid):
        requests = {text: ForgetRequest.parse(text) for text in texts}
        task = original_task(settings, device, store)
        spec = task.spec()
        key = fingerprint_tag(spec.fingerprint)
        if oracle and oracle["mask_from"] == "retain" and spec.recipe.given_mask:
            raise UserError(
                "oracle: mask_from=retain does not go with originals.mask_run_id: a given mask "
                "cannot be found again; use mask_from=upstream"
            )
        planted = spec.data.poison.fingerprint if spec.data.poison else ""
        before = originals.get(key, PlannedOriginal(key, settings, {}, spec, {}))
        sets, retained = dict(before.forget_sets), dict(before.retained)
        refused = dict(before.refused)
        for text, request in requests.items():
            same = (spec.data.fingerprint, planted, repr(spec.recipe.split), text)
            if same not in splits:
                splits[same] = forget_split(store, spec, task.dataset, request)
            sets[text] = splits[same].fingerprint
            retained[sets[text]] = indices_digest(splits[same].retain)
            for number, reason in refusals(methods, splits[same]):
                refused[text, number] = reason
        originals[key] = replace(before, forget_sets=sets, retained=retained, refused=refused)
    plan = make_plan(list(originals.values()), methods, seeds, oracle)
    if methods and not any(task.kind == "cell" for task in plan):
        raise UserError(f"methods: none forgets any set of the grid; {left_out(plan)[0]}")
    return plan


def _with_forget_sets(grid: Grid) -> Iterator[tuple[dict[str, Any], tuple[str, ...]]]:
    """The settings of each original, and what it forgets: what its block says, or the grid."""
    for written in grid.originals:
        settings = {name: value for name, value in written.items() if name != "forget"}
        yield (
            _original(settings),
            ((str(written["forget"]),) if "forget" in written else grid.forget),
        )


def refusals(
    methods: Sequence[tuple[str, Settings]], split: ForgetSplit
) -> Iterator[tuple[int, str]]:
    """The places of methods that do not forget a set, each with the reason."""
    for number, (name, settings) in enumerate(methods):
        try:
            make_method(name, settings).check(split)
        except UserError as error:
            yield number, f"{name}: {error}"


def left_out(plan: Plan) -> list[str]:
    """What the plan leaves out of the grid, since its method would refuse it: a line each."""
    refused = [one for task in plan for one in task.original.refused.items()]
    return [*dict.fromkeys(f"{forget} by {reason}" for (forget, _), reason in refused)]


def _method(
    written: str, settings: Mapping[str, Any], owner: str = ""
) -> tuple[str, dict[str, Any]]:
    """The registered name of a method, and its settings with their defaults."""
    name = check_method(written)
    given = typed(owner or f"method {name}", [Group(method_class(name))], settings)
    return name, make_method(name, given).as_dict()


def _original(written: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an original as the command line would have typed them."""
    arguments = _arguments(written)
    groups = [*original_groups(arguments), *planted_groups(arguments), Group(PruneOptions)]
    given = typed("originals", groups, written)
    if given.pop("register", None) is not None:
        raise UserError(
            "originals.register: a sweep registers none of its runs; leave it out, and register "
            "the run that you choose: mu register ID NAME"
        )
    if given.pop("resume_run_id", None) is not None:
        raise UserError(
            "originals.resume_run_id: interrupted originals are continued in any case; leave it out"
        )
    return given


def typed(owner: str, groups: Sequence[Group], written: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a command line with these options reads them, refusing unknown names."""
    known = [name for group in groups for name in group.names()]
    for name in written:
        if name.replace("-", "_") not in known:
            raise unknown(f"setting of {owner}", name, known)
    parser = command(owner, "", groups, lambda _: None)
    return given_settings(groups, parser.make_context(owner, _arguments(written)).params)


def _arguments(written: Mapping[str, Any]) -> list[str]:
    return [f"--{name}={'none' if value is None else value}" for name, value in written.items()]


def original_task(
    settings: Mapping[str, Any], device: DeviceOptions, store: Callable[[], Store]
) -> TrainTask:
    """An original that is to be trained, by settings of ``prune``.

    The ``store`` is opened only where a mask is to be fetched.
    """
    given = {name: value for name, value in settings.items() if name != "mask_run_id"}
    if run_id := settings.get("mask_run_id"):
        return task_under_mask(store(), run_id, given, device)
    rest = {name: value for name, value in given.items() if name not in DataOptions.names()}
    return task_on(load_once(_data(settings)), rest, device)


def _data(settings: Settings) -> DataOptions:
    return DataOptions.of({n: settings[n] for n in DataOptions.names() if n in settings})


@lru_cache(maxsize=1)  # as tasks on the same data follow each other
def load_once(data: DataOptions) -> ImageDataset:
    """The data."""
    return load_requested(data.as_dict())[0]
