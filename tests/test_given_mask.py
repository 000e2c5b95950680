"""Training under the mask of an earlier run: what is taken over, and what is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.entities import Run as MlflowRun

import mu
from mu.cli.requests import DeviceOptions, Request
from mu.data.ranges import to_ranges
from mu.data.splits import SplitSpec
from mu.masks import Mask
from mu.originals.train import train_original
from mu.runs import Run
from mu.tags import ORIGINAL_KEY, fingerprint_tag
from mu.tasks import prune as prune_task
from mu.tasks.prune import prune
from mu.tracking import Store
from tests.conftest import Workshop
from tests.training.networks import PLAIN

SETTINGS = {
    "arch": PLAIN, "rate": 0.6, "epochs": 6, "rewind_epoch": 5, "train_size": 120,
    "batch_size": 40, "lr": 0.05, "split_seed": 4, "seed": 2, "augment": "crop",
}  # fmt: skip
DEVICE = {"device": "cpu"}


@pytest.fixture(scope="module")
def made(empty_store: Path, workshop: Workshop) -> Path:
    """A store with the run that found the mask; copy it."""

    def make() -> None:
        prune(Request(original=SETTINGS, device=DEVICE))

    return workshop.store("given-mask", empty_store, make)


@pytest.fixture
def store(made: Path, copied: Callable[[Path], Store]) -> Store:
    return copied(made)


@pytest.fixture
def upstream(store: Store) -> MlflowRun:
    """The run that found the mask."""
    return newest(store)


def newest(store: Store) -> MlflowRun:
    return next(store.search(""))


def under(store: Store, upstream: MlflowRun, **given: object) -> MlflowRun:
    """A run under its mask."""
    entry = {"mask_run_id": upstream.info.run_id}
    prune(Request(entry=entry, original=given, device=DEVICE))
    return newest(store)


def changed(one: MlflowRun, other: MlflowRun) -> dict[str, str]:
    """The parameters of the second that are not the first's."""
    first, second = one.data.params, other.data.params
    assert first.keys() == second.keys()
    return {name: value for name, value in second.items() if value != first[name]}


def test_what_is_not_given_is_as_in_that_run(store: Store, upstream: MlflowRun) -> None:
    run = under(store, upstream)
    # Nothing is rewound, so the epoch to rewind to says nothing.
    assert {*changed(upstream, run)} == {"mask_run_id", "rewind_epoch"}
    assert run.data.params["mask_run_id"] == upstream.info.run_id
    assert run.data.tags["mu.upstream"] == upstream.info.run_id
    assert run.data.tags["mu.mask"] == upstream.data.tags["mu.mask"]
    assert run.data.tags["mu.weights"] != upstream.data.tags["mu.weights"]
    assert "under a mask that was given" in run.data.tags["mlflow.note.content"]
    losses = store.client.get_metric_history(run.info.run_id, "loss")
    assert [one.step for one in losses] == list(range(6))
    history = store.client.get_metric_history(run.info.run_id, "sparsity")
    assert [(one.step, one.value) for one in history] == [(0, pytest.approx(60, abs=0.2))]


def test_it_is_trained_from_the_initial_weights(store: Store, upstream: MlflowRun) -> None:
    run = under(store, upstream)
    made, before = (mu.load_checkpoint(one.info.run_id) for one in (run, upstream))
    mask: Mask = before.mask
    assert made.spec.recipe.given_mask == mask.fingerprint
    # By the key a sweep finds it: it says of which mask, as the checkpoint does.
    assert run.data.tags[ORIGINAL_KEY] == fingerprint_tag(made.spec.fingerprint)
    by_hand = train_original(
        mu.load_data("digits"), before.spec.recipe, Run(device="cpu"), mask=mask
    )
    expected = by_hand.model.state_dict()
    for name, value in made.model.state_dict().items():
        assert torch.equal(value, expected[name])


def test_what_is_given_is_taken(store: Store, upstream: MlflowRun) -> None:
    given = {"epochs": 2, "lr": 0.01, "sam_rho": 0.1, "seed": 9, "train_size": None}
    run = under(store, upstream, **given)
    assert changed(upstream, run) == {
        "mask_run_id": upstream.info.run_id, "epochs": "2", "lr": "0.01", "sam_rho": "0.1",
        "seed": "9", "train_size": "none", "rewind_epoch": "1",
    }  # fmt: skip


def test_another_profile_brings_its_training_and_nothing_else(
    store: Store, upstream: MlflowRun
) -> None:
    """The images that it is trained on, and its seed, are those of the run that found the mask."""
    run = under(store, upstream, profile="sam", epochs=3)
    params = run.data.params
    assert (params["profile"], params["sam_rho"]) == ("sam", "0.05")
    assert (params["lr"], params["batch_size"], params["augment"]) == ("0.1", "64", "none")
    for name in ("arch", "pruner", "rate", "split_seed", "train_size", "seed", "dataset"):
        assert params[name] == upstream.data.params[name]
    assert changed(upstream, under(store, upstream, profile="imp")).keys() == {
        "mask_run_id",
        "rewind_epoch",
    }


def test_the_list_of_the_samples_trained_on_comes_with_the_mask(
    store: Store, upstream: MlflowRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    checkpoint = mu.load_checkpoint(upstream.info.run_id)
    listed = {"trained_on": to_ranges(np.arange(5, 900)), "split": SplitSpec(val_share=0.1)}
    recipe = replace(checkpoint.spec.recipe, **listed)
    checkpoint.spec = replace(checkpoint.spec, recipe=recipe)
    monkeypatch.setattr(prune_task, "fetch_checkpoint", lambda *_: checkpoint)
    task = prune_task.task_under_mask(store, upstream.info.run_id, {}, DeviceOptions(device="cpu"))
    assert task.spec().split(task.dataset).train.tolist() == [*range(5, 900)]


def test_a_mask_may_be_handed_on_again(store: Store, upstream: MlflowRun) -> None:
    first = under(store, upstream, epochs=2)
    second = under(store, first)
    assert second.data.tags["mu.mask"] == upstream.data.tags["mu.mask"]
    assert second.data.tags["mu.upstream"] == first.info.run_id
    assert second.data.tags["mu.weights"] == first.data.tags["mu.weights"]
