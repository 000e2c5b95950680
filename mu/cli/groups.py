"""Groups of options that several entries share.

Names are checked before anything heavy is imported, so that a misspelt one is answered at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mu.cli.options import Group, peek
from mu.cli.requests import DataOptions, DeviceOptions, ModelOptions, OriginalOptions
from mu.cli.run_ids import in_full
from mu.data import DEFAULT_DATASET, check_dataset, source
from mu.data.poison_options import PREFIX as TRIGGER_PREFIX
from mu.data.poison_options import PoisonOptions
from mu.data.splits import SplitSpec
from mu.data.triggers import DEFAULT_TRIGGER, check_trigger, trigger_class
from mu.data.wrong_label_options import WrongLabelOptions
from mu.detection import DEFAULT_DETECTOR, DETECTORS, PREFIX, detector_class
from mu.hyperparameters import Hyperparameters
from mu.methods import DEFAULT_METHOD, check_method, method_class
from mu.models import check_arch
from mu.pruning import check_pruner, pruner_class
from mu.recipes.profile import DEFAULT_PROFILE, profile
from mu.recipes.recipe import Rewinding
from mu.registry import load
from mu.training.recipe import Training


def original_groups(
    arguments: Sequence[str], prefix: str = "", defaults: Mapping[str, str] | None = None
) -> list[Group]:
    """The options of an original, with the settings of the pruner that ``arguments`` name.

    UserError if the data set, architecture or pruner has an unknown name. ``prefix``: of all but
    data and network. ``defaults``: what the help says of other defaults in this command, by name.
    """
    dataset = check_dataset(peek(arguments, "dataset", DEFAULT_DATASET))
    if (arch := peek(arguments, "arch", "auto")) != "auto":
        check_arch(arch)
    chosen = profile(peek(arguments, f"{prefix}profile", DEFAULT_PROFILE))
    pruner = check_pruner(peek(arguments, f"{prefix}pruner", chosen.pruner))
    suited = {**source(dataset).training, **chosen.training}  # to the data and the profile
    if chosen.warmup:
        suited["warmup"] = f"{100 * chosen.warmup:g} % of the epochs"
    shown = {**{name: str(value) for name, value in suited.items()}, **(defaults or {})}
    made = "Original, where one is made" if prefix else "Original"
    return [
        Group(DataOptions, heading=made),
        Group(ModelOptions, heading=made),
        Group(OriginalOptions, prefix, shown, made),
        Group(pruner_class(pruner), prefix, shown, f"Pruner {pruner}"),
        Group(Rewinding, prefix, shown, "Rewinding"),
        Group(Training, prefix, shown, "Training of the original"),
        Group(SplitSpec, prefix, shown, "Split of the training images"),
    ]


def wrong_labels_group(prefix: str = "") -> Group:
    """The options of wrong labels that are planted in the training set of an original."""
    return Group(WrongLabelOptions, prefix)


def planted_groups(arguments: Sequence[str]) -> list[Group]:
    """The options of all that can be planted in the training set of an original: by default, none.

    What is given of the trigger that ``arguments`` name keeps its prefix.
    """
    attack = attack_groups(arguments, PoisonOptions)
    ((poison,), (trigger,)) = attack["poison"], attack["trigger"]
    return [
        wrong_labels_group(),
        replace(poison, defaults={"poison": "none"}),
        replace(trigger, keeps_prefix=True),
    ]


def unlearning_groups(
    method: str, arguments: Sequence[str], defaults: Mapping[str, object] | None = None
) -> dict[str, list[Group]]:
    """The options of a method, of the original that it starts from, and of the device.

    ``defaults``: those of the method that are other ones in this command, by name.
    """
    shown = {name: str(value) for name, value in (defaults or {}).items()}
    return {
        "method": [Group(method_class(method), "", shown, f"Method {method}")],
        "original": [*original_groups(arguments, prefix="prune_"), wrong_labels_group("prune_")],
        "device": [Group(DeviceOptions)],
    }


def attack_groups(
    arguments: Sequence[str], options: type[Hyperparameters]
) -> dict[str, list[Group]]:
    """The options of an attack, with the settings of the trigger that ``arguments`` name."""
    trigger = check_trigger(peek(arguments, "trigger", DEFAULT_TRIGGER))
    settings = Group(trigger_class(trigger), TRIGGER_PREFIX, heading=f"Trigger {trigger}")
    return {"poison": [Group(options)], "trigger": [settings]}


def suspects_group(arguments: Sequence[str]) -> list[Group]:
    """The settings of the detector that ``arguments`` name, if it is one."""
    named = peek(arguments, "suspects", DEFAULT_DETECTOR)
    detector = named if named in DETECTORS else DEFAULT_DETECTOR
    return [Group(detector_class(detector), PREFIX, heading=f"Detector {detector}")]


def method_named(arguments: Sequence[str], run_option: str, method_of_run: str) -> str:
    """The method whose options a command has: that of the run that ``arguments`` name, if any.

    UserError if the method or the run is unknown. ``run_option``: the option that names a run whose
    method is taken. ``method_of_run``: import path of the function from a run ID to its method.
    """
    run_id = peek(arguments, run_option, "none")
    if run_id == "none" or (run_id == "auto" and run_option == "resume_run_id"):
        return check_method(peek(arguments, "method", DEFAULT_METHOD))
    return str(load(method_of_run)(in_full(run_id)))
