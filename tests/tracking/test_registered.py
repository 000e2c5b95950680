"""Registered models: versions with descriptions and tags, found by number and alias."""

from __future__ import annotations

import warnings
from collections.abc import Mapping

import numpy as np
import pytest

from mu.model_names import checked_model_name
from mu.tracking import Store
from mu.tracking.registered import (
    Version,
    find_version,
    register,
    run_of,
    set_alias,
    tag_version,
    versions_of,
)
from tests.conftest import PrunedStore
from tests.helpers import refused
from tests.tracking.handovers import hand_over

with warnings.catch_warnings():  # of MLflow's own type hints, as it loads
    warnings.simplefilter("ignore")
    import mlflow.pyfunc

PARAMS = {"method": "ft", "forget": "class:3", "arch": "resnet_mini", "dataset": "digits"}
TAGS = {"mu.upstream": "a" * 32, "mu.oracle": "b" * 32, "mu.forget": "0123456789abcdef"}


@pytest.fixture
def made(store: Store) -> str:
    return unlearned(store)


def unlearned(store: Store, numbers: Mapping[str, float] | None = None) -> str:
    run_id = hand_over(store, entry="unlearn", params=PARAMS, tags=TAGS)
    for name, value in {"UA": 99.123, "gap": 0.25, "sparsity": 94.96, **(numbers or {})}.items():
        store.client.log_metric(run_id, name, value)
    return run_id


# --- a version is made --------------------------------------------------------------------


def test_a_version_says_what_it_is(store: Store, made: str) -> None:
    assert register(store, made, "digits model").number == 1
    found = store.client.get_model_version("digits model", "1")
    run = store.run(made)
    assert found.run_id == made
    assert found.source == f"{run.info.artifact_uri}/checkpoint"
    its = run.data.tags
    expected = {name: its[name] for name in ("mu.weights", "mu.mask", "mu.entry", *TAGS)}
    numbers = {"UA": "99.123", "gap": "0.25", "sparsity": "94.96"}
    assert found.tags == {**expected, "method": "ft", "forget": "class:3", **numbers}
    sentence = "**ft** made a `resnet_mini` on `digits`, 95.0 % sparse, forget `class:3`."
    description = str(found.description)
    assert sentence in description
    for run_id in (made, TAGS["mu.upstream"], TAGS["mu.oracle"]):
        assert f"[{run_id}](#/experiments/0/runs/{run_id}" in description
    about = str(store.client.get_registered_model("digits model").description)
    assert 'mu.load_model("models:/digits model@production")' in about


def test_it_is_served_as_its_network(pruned: PrunedStore) -> None:
    version = register(pruned.store, pruned.run_id, "digits")
    images = np.random.default_rng(0).integers(0, 256, (5, 8, 8, 1), np.uint8)
    found = mlflow.pyfunc.load_model(version.uri).predict(images)
    right = mlflow.pyfunc.load_model(f"runs:/{pruned.run_id}/checkpoint").predict(images)
    np.testing.assert_array_equal(found, right)
    about = str(pruned.store.client.get_model_version("digits", "1").description)
    assert "**Original**: a `resnet_mini` on `digits`, 95.0 % sparse." in about


def test_a_run_is_one_version_of_a_model(store: Store, made: str) -> None:
    first = register(store, made, "one")
    assert register(store, made, "one") == first
    assert register(store, made, "another").number == 1
    assert register(store, unlearned(store), "one").number == 2
    assert [str(one) for one in versions_of(store, [made])] == [
        "another version 1",
        "one version 1",
    ]


def test_what_is_not_finished_is_not_registered(store: Store) -> None:
    failed = hand_over(store, status="FAILED")
    with refused(failed, "FAILED", "give the ID of a FINISHED run"):
        register(store, failed, "one")
    assert not store.client.search_registered_models()


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a:b", "a@b", "a,b", "..", "a ", "a#b", "a'b", "a" * 201]
)
def test_names_that_cannot_be_typed_in_an_address_are_refused(name: str) -> None:
    with refused(f"register={name!r}" if len(name) < 200 else "register=", "give letters, digits"):
        checked_model_name("register", name)


def test_usual_names_are_not() -> None:
    for name in ("digits", "résumé", "ResNet-18 v1.2", "a_b", "7"):
        checked_model_name("register", name)


# --- and found ----------------------------------------------------------------------------


def test_by_number_alias_and_as_the_newest(store: Store, made: str) -> None:
    register(store, made, "one")
    newer = unlearned(store)
    register(store, newer, "one")
    set_alias(store, "one", "production", 1)
    set_alias(store, "one", "safe", 1)
    first = find_version(store, "models:/one@production")
    assert isinstance(first, Version)
    assert (first.number, first.run_id, first.aliases) == (1, made, ("production", "safe"))
    assert str(first) == "one version 1 (production, safe)"
    assert first.tags["method"] == "ft"
    assert find_version(store, "models:/one/1") == first
    assert find_version(store, "models:/one/latest").run_id == newer
    assert run_of(store, "models:/one@safe") == made
    assert run_of(store, newer[:12]) == newer
    set_alias(store, "one", "production", 2)
    assert run_of(store, "models:/one@production") == newer
    assert [one.aliases for one in versions_of(store, [newer, made])] == [
        ("safe",),
        ("production",),
    ]


def test_tags_are_added(store: Store, made: str) -> None:
    register(store, made, "one")
    tag_version(store, "one", 1, {"state": "superseded", "gap": "0.5"})
    found = find_version(store, "models:/one/1").tags
    assert (found["state"], found["gap"], found["method"]) == ("superseded", "0.5", "ft")


def test_of_runs_that_made_none_there_is_none(store: Store, made: str) -> None:
    assert versions_of(store, []) == []
    assert versions_of(store, [made, "0" * 32]) == []


def test_what_is_not_there_is_named_with_what_is(store: Store, made: str) -> None:
    with refused("there is no registered model 'one'", "-P register=one"):
        find_version(store, "models:/one/1")
    register(store, made, "digits")
    with refused("unknown registered model 'digit'", "did you mean digits?"):
        find_version(store, "models:/digit/1")
    with refused("'digits' has no alias 'production'", "models:/digits/1"):
        find_version(store, "models:/digits@production")
    set_alias(store, "digits", "production", 1)
    with refused("'prodution'", "did you mean production?"):
        find_version(store, "models:/digits@prodution")
    with refused("'digits' has no version 7", "models:/digits/1", "production (1)"):
        find_version(store, "models:/digits/7")
    with refused("'digits' has no version 7"):
        set_alias(store, "digits", "production", 7)
    with refused("alias"):
        set_alias(store, "digits", "v3", 1)


@pytest.mark.parametrize(
    "text", ["models:/", "models:/a", "models:/a/b", "models:/a/1/2", "models:/a@", "models:/@b"]
)
def test_an_address_that_is_none(store: Store, text: str) -> None:
    with refused(repr(text), "models:/NAME@ALIAS"):
        run_of(store, text)


def test_a_version_of_no_run(store: Store) -> None:
    store.client.create_registered_model("foreign")
    store.client.create_model_version("foreign", "s3://somewhere/model")
    with refused("models:/foreign/1", "names no run"):
        run_of(store, "models:/foreign/1")
