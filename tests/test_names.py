"""The page of names against the code: nothing that a user can type or read is missing there."""

import re
from pathlib import Path

import pytest

from entrypoints import backdoor, compare, dataset, evaluate, lira, prune, sweep, transfer, unlearn
from mu.cli.requests import ENGINES
from mu.data import DATASETS
from mu.data.triggers import ALIASES as TRIGGER_ALIASES
from mu.data.triggers import TRIGGERS
from mu.evaluation.catalogue import METRICS
from mu.evaluation.measurements import GROUPS
from mu.methods import ALIASES, METHODS
from mu.models import ARCHITECTURES
from mu.pruning import PRUNERS
from mu.tasks.sweep.grid import KEYS
from mu.transfer import TUNES

PAGE = (Path(__file__).parents[1] / "docs" / "names.md").read_text()
NAMES = set(re.findall(r"`([^`]+)`", PAGE))


def options(command):
    return {option.name for option in command.params}


def test_every_option_of_prune_is_on_the_page():
    assert options(prune.build([])) <= NAMES


@pytest.mark.parametrize("entry", [evaluate, lira, dataset, compare, sweep])
def test_every_option_of_the_measuring_entries_is_on_the_page(entry):
    assert options(entry.build([])) <= NAMES


@pytest.mark.parametrize("method", sorted(METHODS))
def test_every_option_of_unlearn_is_on_the_page(method):
    own = options(unlearn.build(["--method", method]))
    assert {name for name in own if not name.startswith("prune_")} <= NAMES
    originals = {name.removeprefix("prune_") for name in own if name.startswith("prune_")}
    assert originals - {"run_id"} <= NAMES


@pytest.mark.parametrize("trigger", sorted(TRIGGERS))
def test_every_option_of_backdoor_is_on_the_page(trigger):
    own = options(backdoor.build(["--trigger", trigger]))
    assert {name for name in own if not name.startswith("prune_")} <= NAMES


def test_every_option_of_transfer_is_on_the_page():
    own = {name for name in options(transfer.build([])) if not name.startswith("prune_")}
    training = {name.removeprefix("transfer_") for name in own if name.startswith("transfer_")}
    assert {name for name in own if not name.startswith("transfer_")} <= NAMES
    assert training <= NAMES


@pytest.mark.parametrize(
    "table",
    [
        DATASETS,
        ARCHITECTURES,
        PRUNERS,
        METHODS,
        ALIASES,
        METRICS,
        GROUPS,
        TRIGGERS,
        TRIGGER_ALIASES,
        TUNES,
        ENGINES,
        KEYS,
    ],
)
def test_every_registered_name_is_on_the_page(table):
    assert set(table) <= NAMES
