"""From a grid as it was written to a plan of checked tasks; nothing is opened or made here."""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mu.checkpoints import Spec
from mu.cli.entry import given_settings
from mu.cli.groups import original_groups
from mu.cli.options import Group, command
from mu.cli.requests import DataOptions, DeviceOptions, PruneOptions, UnlearnOptions
from mu.data.forget import ForgetRequest, ForgetSplit, indices_digest
from mu.errors import UserError, unknown
from mu.methods import check_method, make_method, method_class
from mu.tasks.base import checked_device
from mu.tasks.resolve import forget_split
from mu.tasks.sweep.estimate import Load
from mu.tasks.sweep.grid import Grid
from mu.tasks.sweep.loads import order_for
from mu.tasks.sweep.plan import Plan, PlannedOriginal, Task, make_plan
from mu.tracking import Store, fingerprint_tag


@dataclass(frozen=True)
class SweepPlan:
    """A plan, and what is known of its originals before they are made.

    Parameters
    ----------
    specs
        Of the originals, by their keys.
    retained
        sha256 (hex) of the retained sample numbers, by original and forget set.
    device
        What was given of the device.
    """

    plan: Plan
    specs: Mapping[str, Spec]
    retained: Mapping[tuple[str, str], str]
    device: Mapping[str, Any]

    def data(self, task: Task) -> dict[str, Any]:
        """Which data the original of a task was given, and where it lies."""
        settings = self.plan[self.original(task)].what["settings"]
        own = {name: settings[name] for name in DataOptions.names() if name in settings}
        if not settings.get("mask_run_id"):
            return own
        spec = self.specs[self.original(task)].data  # what is not given is as in the mask's run
        found = {"dataset": spec.name, "data_dir": spec.data_dir, "image_size": spec.image_size}
        return {**found, **own}

    def original(self, task: Task) -> str:
        """The key of the original that a task is about."""
        return task.needs[0] if task.needs else task.key

    def seed(self, task: Task) -> int:
        """The seed of an oracle or a cell."""
        seed = task.what["seed"]
        return self.specs[self.original(task)].recipe.seed if seed is None else int(seed)

    def load(self, task: Task) -> Load:
        """What decides how long a task takes."""
        spec, what = self.specs[self.original(task)], task.what
        if task.kind == "original" or what["method"] == "retrain":
            upstream = what["settings"].get("mask_from") == "upstream"
            under_mask = spec.recipe.given_mask is not None or upstream
            return load_of_original(spec.settings(), mask_is_known=under_mask)
        about = {
            "dataset": spec.data.name,
            "arch": spec.recipe.model.arch,
            "forget": what["forget"],
            "prune_rate": spec.recipe.pruning["rate"],
            **what["settings"],
        }
        return load_of_method(what["method"], about)


# --- how long things take -----------------------------------------------------------------


def epochs_of(settings: Mapping[str, Any], *, mask_is_known: bool) -> float:
    """Epochs that an original takes over all its trainings, by its settings or parameters."""
    epochs = float(settings["epochs"])
    rewinds = settings["rewind"] not in (None, "none")
    if mask_is_known or float(settings["rate"]) == 0 or not rewinds:
        return epochs
    return epochs + float(settings["rounds"]) * (epochs - float(settings["rewind_epoch"]))


def load_of_original(settings: Mapping[str, Any], *, mask_is_known: bool, host: str = "") -> Load:
    """The load of an original or an oracle; ``host`` is this machine unless told."""
    epochs = epochs_of(settings, mask_is_known=mask_is_known)
    return Load("original", _features(settings, host), epochs)


def load_of_method(name: str, about: Mapping[str, Any], host: str = "") -> Load:
    """The load of a method; it grows with its epochs, if it has some."""
    epochs = about.get("epochs")
    return Load(name, _features(about, host), max(float(epochs or 1), 1.0))


def _features(settings: Mapping[str, Any], host: str) -> dict[str, str]:
    known = {n: str(value) for n, value in settings.items() if value is not None}
    return {**known, "host": host or socket.gethostname()}


# --- checks -------------------------------------------------------------------------------


def defaults() -> dict[str, Any]:
    """What stands for keys of the grid that are left out: the defaults of ``unlearn``."""
    options = UnlearnOptions()
    return {"forget": options.forget, "methods": options.method, "seed": options.seed}


def plan_of(
    grid: Grid, device: Mapping[str, Any], store: Callable[[], Store], *, check_device: bool
) -> SweepPlan:
    """Check everything that was written, the cheap things first, and make the plan.

    Parameters
    ----------
    device
        What was given of the device beside the grid; it wins.
    store
        Opens the store, where a mask is to be fetched.
    check_device
        Whether all of it runs on this machine.

    Raises
    ------
    UserError
        If a name is unknown, or a value is wrong.
    """
    methods = [checked_method(name, settings) for name, settings in grid.methods]
    oracle = None if grid.oracle is None else checked_method("retrain", grid.oracle, "oracle")[1]
    requests = {text: ForgetRequest.parse(text) for text in grid.forget}
    seeds = [UnlearnOptions.of({"seed": seed}).seed for seed in grid.seeds]
    on = {**_typed("device", [Group(DeviceOptions)], grid.device), **device}
    if check_device:
        checked_device(DeviceOptions.of(on))
    originals = [checked_original(settings) for settings in grid.originals]
    specs: dict[str, Spec] = {}
    retained: dict[tuple[str, str], str] = {}
    planned: list[PlannedOriginal] = []
    cuts: dict[tuple[str, ...], ForgetSplit] = {}
    for settings in originals:
        order = order_for(settings, DeviceOptions.of(on), store)
        spec = order.spec()
        key = fingerprint_tag(spec.fingerprint)
        if key in specs:
            continue
        specs[key] = spec
        _refuse_unfit_oracle(spec, oracle)
        sets = {}
        for text, request in requests.items():
            same = (spec.data.fingerprint, repr(spec.recipe.split), text)
            if same not in cuts:
                cuts[same] = forget_split(spec, order.dataset, request)
            sets[text] = cuts[same].fingerprint
            retained[key, sets[text]] = indices_digest(cuts[same].retain)
        planned.append(PlannedOriginal(key, settings, sets))
    return SweepPlan(make_plan(planned, methods, seeds, oracle), specs, retained, on)


def checked_method(
    written: str, settings: Mapping[str, Any], owner: str = ""
) -> tuple[str, dict[str, Any]]:
    """The registered name of a method, and its settings with their defaults.

    Parameters
    ----------
    owner
        What messages call it, if not the method.
    """
    name = check_method(written)
    given = _typed(owner or f"method {name}", [Group(method_class(name))], settings)
    return name, make_method(name, given).as_dict()


def checked_original(written: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an original as the command line would have typed them."""
    groups = [*original_groups(_arguments(written)), Group(PruneOptions)]
    given = _typed("originals", groups, written)
    if given.pop("resume_run_id", None) is not None:
        raise UserError(
            "originals.resume_run_id: interrupted originals are gone on with by themselves; leave "
            "it out"
        )
    return given


def _typed(owner: str, groups: Sequence[Group], written: Mapping[str, Any]) -> dict[str, Any]:
    """Values as a command line with these options reads them, refusing unknown names."""
    known = [name for group in groups for name in group.settings.names()]
    for name in written:
        if name.replace("-", "_") not in known:
            raise unknown(f"setting of {owner}", name, known)
    parser = command(owner, "", groups, lambda _: None)
    return given_settings(groups, parser.make_context(owner, _arguments(written)).params)


def _arguments(written: Mapping[str, Any]) -> list[str]:
    return [f"--{name}={'none' if value is None else value}" for name, value in written.items()]


def _refuse_unfit_oracle(spec: Spec, oracle: Mapping[str, Any] | None) -> None:
    if oracle and oracle["mask_from"] == "retain" and spec.recipe.given_mask:
        raise UserError(
            "oracle: mask_from=retain does not go with originals.mask_run_id: a mask that was "
            "given cannot be found anew; use mask_from=upstream"
        )
