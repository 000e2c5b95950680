"""The option register of the entries, and versions of registered models where a run ID is taken."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mlflow.exceptions import MlflowException

import mu
from mu.cli.requests import LiraOptions, PruneOptions, UnlearnOptions
from mu.tasks.base import run_task
from mu.tracking import Recorder, Store, fingerprint_tags, load_checkpoint
from mu.tracking.kept import deliver
from mu.tracking.registered import register, set_alias, versions_of
from tests.cli.test_entry import given
from tests.commands import call
from tests.conftest import PrunedStore
from tests.helpers import refused
from tests.tracking.handovers import hand_over, small_checkpoint
from tests.tracking.test_resuming_unlearn import FT, interrupted_after, newest_unlearn, resume


def unlearn(original: str, *line: str) -> int:
    quick = ("--method", "ft", "--epochs", "1", "--forget", "class:3", "--oracle_run_id", "none")
    return call("unlearn", "--prune_run_id", original, *quick, "--device", "cpu", *line)


def save(recorder: Recorder) -> None:
    """The work of a run that keeps a small network."""
    recorder.tags(fingerprint_tags(small_checkpoint().save(recorder.folder)))


# --- the option ---------------------------------------------------------------------------


def test_a_run_is_registered_when_it_has_ended_well(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    store = pruned.store
    assert unlearn(pruned.run_id, "--register", "digits") == 0
    last = capsys.readouterr().out
    assert "  registered  digits version 1\n" in last
    assert 'mu.load_model("models:/digits/1")' in last
    assert "mlflow models serve -m models:/digits/1 --env-manager local" in last
    run_id = newest_unlearn(store)
    (version,) = versions_of(store, [run_id, pruned.run_id])  # not what it started from
    run = store.run(run_id)
    assert version.run_id == run_id
    assert version.tags["mu.upstream"] == pruned.run_id
    assert version.tags["UA"] == f"{run.data.metrics['UA']:g}"
    assert "register" not in run.data.params

    set_alias(store, "digits", "production", 1)
    assert call("mu", "show", "models:/digits@production") == 0
    said = capsys.readouterr().out
    assert f"unlearn run {run_id}" in said
    assert "registered  digits version 1 (production)" in said
    one = mu.load_model("models:/digits@production").state_dict()
    other = mu.load_model(run_id).state_dict()
    assert all(torch.equal(one[name], other[name]) for name in other)


def test_a_run_is_not_registered_where_that_was_not_asked_for(store: Store) -> None:
    run_id, _ = run_task(store, "prune", "small", save)
    assert "mu.register" not in store.run(run_id).data.tags
    assert not store.client.search_registered_models()


@pytest.mark.parametrize("entry", ["prune", "unlearn"])
def test_a_name_that_cannot_be_one_is_refused_before_a_run_is_opened(
    entry: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(entry, "--register", "a/b", "--device", "cpu") == 2
    assert "register='a/b' is no name of a registered model" in capsys.readouterr().err
    assert not list(store.search(""))


def test_a_resumed_run_is_registered_as_it_was_asked_for(pruned: PrunedStore) -> None:
    interrupted_after(2, *FT, "--register", "digits")
    run_id = newest_unlearn(pruned.store)
    assert not pruned.store.client.search_registered_models()
    assert resume(run_id) == 0
    assert [str(one) for one in versions_of(pruned.store, [run_id])] == ["digits version 1"]


def test_a_store_that_refuses_costs_the_version_not_the_run(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise MlflowException("it is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.client), "create_model_version", refuses)
        with refused("has ended well", "no version of 'my model'", "it is full") as refusal:
            run_task(store, "prune", "small", save, register="my model")
    (run,) = store.search("")
    assert run.info.status == "FINISHED"
    assert f"mu register {run.info.run_id} 'my model'" in refusal.message
    assert call("mu", "register", run.info.run_id[:16], "my model") == 0
    assert [one.number for one in versions_of(store, [run.info.run_id])] == [1]


def test_results_that_are_delivered_later_are_registered_then(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: object, **__: object) -> None:
        raise MlflowException("it is full")

    with monkeypatch.context() as patch:
        patch.setattr(type(store.client), "log_artifacts", refuses)
        with refused("could not be stored", "mu sync ") as refusal:
            run_task(store, "prune", "small", save, register="digits")
    assert not store.client.search_registered_models()
    said = deliver(store, Path(refusal.message.rpartition("mu sync ")[2]))
    assert said.endswith("it is FINISHED and digits version 1")
    assert load_checkpoint("models:/digits/1").fingerprint == small_checkpoint().fingerprint


# --- where a run ID is taken --------------------------------------------------------------


def test_a_version_stands_for_its_run(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = hand_over(store), hand_over(store)
    for one in (first, second):
        register(store, one, "my model")
    set_alias(store, "my model", "production", 1)
    by_alias, by_number = "models:/my model@production", "models:/my model/2"

    def taken(options: type, name: str, value: str) -> str:
        return str(given(options, [f"--{name}", value])[name])

    assert taken(UnlearnOptions, "prune_run_id", by_alias) == first
    assert f"{by_alias}: run {first}" in capsys.readouterr().err
    assert taken(LiraOptions, "unlearn_run_id", by_number) == second
    assert taken(PruneOptions, "mask_run_id", by_number) == second
    with refused("unknown registered model 'my mode'", "did you mean my model?"):
        taken(UnlearnOptions, "prune_run_id", "models:/my mode/1")
    assert call("mu", "diff", by_alias, "models:/other@production") == 2
    assert call("mu", "show", "models:/my model/3") == 2
    errors = capsys.readouterr().err
    assert "unknown registered model 'other'; known: my model" in errors
    assert "'my model' has no version 3" in errors
