"""From a grid as it was written to a plan of checked tasks; nothing is opened or made here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mu.cli.entry import given_settings
from mu.cli.groups import original_groups
from mu.cli.options import Group, command
from mu.cli.requests import DeviceOptions, PruneOptions, UnlearnOptions
from mu.data.forget import ForgetRequest, ForgetSplit, indices_digest
from mu.errors import UserError, unknown
from mu.methods import check_method, make_method, method_class
from mu.tasks.base import checked_device
from mu.tasks.resolve import forget_split
from mu.tasks.sweep.grid import Grid
from mu.tasks.sweep.perform import original_task
from mu.tasks.sweep.plan import Plan, PlannedOriginal, make_plan
from mu.tracking import Store, fingerprint_tag


def defaults() -> dict[str, Any]:
    """What stands for keys of the grid that are left out: the defaults of ``unlearn``."""
    options = UnlearnOptions()
    return {"forget": options.forget, "methods": options.method, "seed": options.seed}


def device_of(grid: Grid, given: Mapping[str, Any], *, here: bool) -> dict[str, Any]:
    """What is set of the device: by the grid, and on the command line, which wins.

    If all runs ``here``, this machine must have it.
    """
    device = {**_typed("device", [Group(DeviceOptions)], grid.device), **given}
    options = DeviceOptions.of(device)
    if here:
        checked_device(options)
    return device


def plan_of(grid: Grid, device: DeviceOptions, store: Callable[[], Store]) -> Plan:
    """Check everything that was written, the cheap things first, and make the plan.

    The ``store`` is opened only where a mask is to be fetched. UserError if a name is unknown, or
    a value is wrong.
    """
    methods = [_method(name, settings) for name, settings in grid.methods]
    oracle = None if grid.oracle is None else _method("retrain", grid.oracle, "oracle")[1]
    requests = {text: ForgetRequest.parse(text) for text in grid.forget}
    seeds = [UnlearnOptions.of({"seed": seed}).seed for seed in grid.seeds]
    originals: dict[str, PlannedOriginal] = {}
    splits: dict[tuple[str, ...], ForgetSplit] = {}
    for settings in [_original(written) for written in grid.originals]:
        task = original_task(settings, device, store)
        spec = task.spec()
        key = fingerprint_tag(spec.fingerprint)
        if key in originals:
            continue
        if oracle and oracle["mask_from"] == "retain" and spec.recipe.given_mask:
            raise UserError(
                "oracle: mask_from=retain does not go with originals.mask_run_id: a given mask "
                "cannot be found again; use mask_from=upstream"
            )
        sets, retained = {}, {}
        for text, request in requests.items():
            same = (spec.data.fingerprint, repr(spec.recipe.split), text)
            if same not in splits:
                splits[same] = forget_split(spec, task.dataset, request)
            sets[text] = splits[same].fingerprint
            retained[sets[text]] = indices_digest(splits[same].retain)
        originals[key] = PlannedOriginal(key, settings, sets, spec, retained)
    return make_plan(list(originals.values()), methods, seeds, oracle)


def _method(
    written: str, settings: Mapping[str, Any], owner: str = ""
) -> tuple[str, dict[str, Any]]:
    """The registered name of a method, and its settings with their defaults."""
    name = check_method(written)
    given = _typed(owner or f"method {name}", [Group(method_class(name))], settings)
    return name, make_method(name, given).as_dict()


def _original(written: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of an original as the command line would have typed them."""
    groups = [*original_groups(_arguments(written)), Group(PruneOptions)]
    given = _typed("originals", groups, written)
    if given.pop("resume_run_id", None) is not None:
        raise UserError(
            "originals.resume_run_id: interrupted originals are continued in any case; leave it out"
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
