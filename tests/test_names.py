"""The page of names against the code: nothing that a user can type or read is missing there."""

import re
from pathlib import Path

import pytest

from entrypoints import (
    backdoor,
    claims,
    compare,
    dataset,
    erase,
    evaluate,
    export,
    lira,
    prune,
    sweep,
    transfer,
    tune,
    unlearn,
)
from mu.cli import promoting, signing, verifying
from mu.cli.requests import ENGINES
from mu.data import DATASETS
from mu.data.triggers import TRIGGERS
from mu.detection import DETECTORS
from mu.erasure.policy import Policy
from mu.evaluation.catalogue import METRICS
from mu.evaluation.measurements import GROUPS
from mu.methods import METHODS
from mu.models import ARCHITECTURES
from mu.pruning import PRUNERS
from mu.tasks.sweep.grid import KEYS
from mu.transfer import TUNES

PAGE = (Path(__file__).parents[1] / "docs" / "names.md").read_text()
NAMES = set(re.findall(r"`([^`]+)`", PAGE))


# Those of methods, pruners and the like are in the help of each; the page may leave them out.
CHOICES = (("", METHODS), ("", PRUNERS), ("trigger_", TRIGGERS), ("suspects_", DETECTORS))
CHOSEN = {
    prefix + name
    for prefix, registry in CHOICES
    for one in registry.values()
    for name in one.names()
}


def options(command):
    return {option.name for option in command.params} - CHOSEN


def test_every_option_of_prune_is_on_the_page():
    assert options(prune.build([])) <= NAMES


@pytest.mark.parametrize("entry", [evaluate, lira, erase, dataset, export, claims, compare, sweep])
def test_every_option_of_the_measuring_entries_is_on_the_page(entry):
    assert options(entry.build([])) <= NAMES


@pytest.mark.parametrize("entry", [unlearn, backdoor, tune])
def test_every_option_of_the_unlearning_entries_is_on_the_page(entry):
    own = options(entry.build([]))
    assert {name for name in own if not name.startswith("prune_")} <= NAMES
    originals = {name.removeprefix("prune_") for name in own if name.startswith("prune_")}
    assert originals - {"run_id"} - CHOSEN <= NAMES


def test_every_option_of_transfer_is_on_the_page():
    own = {name for name in options(transfer.build([])) if not name.startswith("prune_")}
    training = {name.removeprefix("transfer_") for name in own if name.startswith("transfer_")}
    assert {name for name in own if not name.startswith("transfer_")} <= NAMES
    assert training <= NAMES


def test_every_threshold_of_a_policy_is_on_its_page():
    page = (Path(__file__).parents[1] / "docs" / "erasure.md").read_text()
    for name, default in Policy().as_dict().items():
        assert f"| `{name}` | {default} | " in page


def test_every_option_of_the_commands_on_evidence_is_on_the_page():
    commands = (verifying.command, signing.countersign, signing.keygen, promoting.command)
    names = [name for one in commands for each in one.params for name in each.opts]
    assert {name.lstrip("-").replace("-", "_") for name in names} <= NAMES


@pytest.mark.parametrize(
    "table",
    [
        DATASETS,
        ARCHITECTURES,
        METRICS,
        GROUPS,
        TUNES,
        ENGINES,
        KEYS,
        TRIGGERS,
        DETECTORS,
    ],
)
def test_every_registered_name_is_on_the_page(table):
    assert set(table) <= NAMES
