"""The attack of a run: planted by mu, or stated by who knows what somebody else did to the data."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mu.checkpoints import Spec
from mu.cli.requests import Request
from mu.data.attack import Attack, AttackedDataset
from mu.data.images import ImageDataset
from mu.data.planted import PlantedDataset
from mu.data.poison import PoisonedDataset
from mu.data.poison_options import PREFIX
from mu.data.triggers import check_trigger
from mu.errors import UserError
from mu.tasks.resolve import refuse_contradictions


def stated(dataset: ImageDataset, request: Request, run_id: str) -> ImageDataset:
    """The data with the attack that was stated; as it is, where none was.

    UserError if half of one was, if it does not fit, or contradicts what mu planted in the
    original of run ``run_id``.
    """
    given = request.poison
    if isinstance(dataset, PoisonedDataset):
        said = attack_given(request, dataset.classes)
        refuse_contradictions(run_id, dataset.poison.options(), said)
        return dataset
    if not given and not request.trigger:
        return dataset
    if isinstance(dataset, PlantedDataset):
        raise UserError(
            f"run {run_id} was trained with wrong labels ({dataset.planted.forget}), not with a "
            "trigger; leave trigger, target and their settings out"
        )
    if planting := [name for name in given if name not in ("trigger", "target")]:
        raise UserError(
            f"{planting[0]}={given[planting[0]]}: mu plants no poison in run {run_id}, whose "
            f"original is there already; leave {planting[0]} out"
        )
    if missing := [name for name in ("trigger", "target") if given.get(name) is None]:
        wanted = {"trigger": "trigger=patch, say", "target": "target=CLASS"}[missing[0]]
        raise UserError(f"the attack is stated by trigger and target; give {wanted}")
    return Attack.stated(given["trigger"], request.trigger, given["target"], dataset)


def stated_options(dataset: ImageDataset) -> dict[str, Any]:
    """The attack that was stated, by the names of options; a planted one is in the spec."""
    if isinstance(dataset, AttackedDataset) and not isinstance(dataset, PoisonedDataset):
        return dataset.attack.options()
    return {}


def restated(dataset: ImageDataset, kept: Mapping[str, Any]) -> ImageDataset:
    """The data with the attack that :func:`stated_options` gave, if it gave one."""
    if "trigger" not in kept or isinstance(dataset, PoisonedDataset):
        return dataset
    settings = {
        name.removeprefix(PREFIX): value for name, value in kept.items() if name.startswith(PREFIX)
    }
    return Attack.stated(kept["trigger"], settings, kept["target"], dataset)


def attack_given(request: Request, classes: tuple[str, ...]) -> dict[str, Any]:
    """What was given of an attack, in the spelling of its options."""
    trigger = {PREFIX + name: value for name, value in request.trigger.items()}
    return attack_spelled({**request.poison, **trigger}, classes)


def attack_spelled(given: Mapping[str, Any], classes: tuple[str, ...]) -> dict[str, Any]:
    """Settings, with a trigger and a target among them as they are recorded."""
    said = dict(given)
    if said.get("trigger") is not None:
        said["trigger"] = check_trigger(said["trigger"])
    if said.get("target") in classes:  # by name
        said["target"] = str(classes.index(said["target"]))
    return said


def refuse_other_attack(run_id: str, spec: Spec, kept: Mapping[str, Any], request: Request) -> None:
    """Refuse an attack other than that of an interrupted run; ``kept``: what it had stated."""
    poison = spec.data.poison
    made = kept if poison is None else poison.options()
    refuse_contradictions(run_id, made, attack_given(request, spec.data.classes))
