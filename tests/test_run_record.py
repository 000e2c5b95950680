"""What is read of a run: how it unlearned, and whether two are judged by the same oracle."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mu import tags
from mu.alike import differing
from mu.data.forget_split import indices_digest
from mu.methods import make_method
from mu.run_record import RunRecord, Seeds
from mu.tracking import (
    Store,
    fingerprint_tag,
    fingerprint_tags,
    read_run,
    read_unlearned,
    tracked,
)
from tests.helpers import refused
from tests.tracking.handovers import hand_over, small_checkpoint

FORGET = np.array([3, 5, 8])
TYPED = {"method": "FT", "lr": "0.10", "epochs": "2", "forget": "class:0", "seed": "4"}


def unlearned(
    store: Store,
    config: Mapping[str, Any] | str | None = None,
    *,
    params: Mapping[str, Any] = TYPED,
    tagged: Mapping[str, str] | None = None,
) -> RunRecord:
    """A finished unlearn run whose parameters MLflow's launcher has logged as they were typed."""
    with tracked(store, "unlearn", "small") as recorder:
        recorder.params(params)
        digests = small_checkpoint().save(recorder.folder)
        own = {tags.FORGET: fingerprint_tag(indices_digest(FORGET)), **(tagged or {})}
        recorder.tags({**fingerprint_tags(digests), **own})
        (recorder.folder / "forget").mkdir()
        np.save(recorder.folder / "forget" / "indices.npy", FORGET, allow_pickle=False)
        if config is not None:
            text = config if isinstance(config, str) else json.dumps(config)
            (recorder.folder / "config.json").write_text(text)
    return read_run(store, recorder.run_id)


def in_force(**changes: Any) -> dict[str, Any]:
    method = make_method("ft", {"lr": 0.1, "epochs": 2})
    about = {"method": "ft", "forget": "class:0", "seed": 4, "device": "cpu", "prune_rate": 0.5}
    return {**about, **method.as_dict(), **changes}


# --- how it unlearned ---------------------------------------------------------------------


def test_settings_are_typed_where_the_run_kept_them(store: Store) -> None:
    run = unlearned(store, in_force())
    method = make_method("ft", {"lr": 0.1, "epochs": 2})
    assert (run.method, run.settings) == ("ft", method.as_dict())
    assert run.make_method() == method
    assert run.seeds == Seeds(split=run.spec.recipe.split.split_seed, training=3, unlearning=4)
    assert run.original["prune_rate"] == 0.5


def test_settings_of_earlier_versions_have_the_names_of_today(store: Store) -> None:
    method = make_method("ga", {"max_accuracy_drop": 3.0})
    about = {"method": "ga", "forget": "class:0", "seed": 4}
    run = unlearned(store, {**about, **method.by_former_names()})
    assert "spend" in run.config
    assert run.settings == method.as_dict()
    assert run.make_method() == method


@pytest.mark.parametrize("config", [None, "no JSON"])
def test_of_other_runs_the_parameters_say_it(store: Store, config: str | None) -> None:
    run, typed = unlearned(store, config), unlearned(store, in_force())
    assert (run.method, run.forget, run.seeds) == ("ft", "class:0", typed.seeds)
    assert run.settings == {"lr": "0.10", "epochs": "2"}
    assert not {"lr", "epochs"} & differing(run.settings, typed.settings).keys()
    with refused("config.json", run.run_id):
        run.make_method()


@pytest.mark.parametrize("config", [in_force(lr="fast"), in_force(method="magic"), {"seed": 1}])
def test_a_configuration_that_is_no_methods(store: Store, config: dict[str, Any]) -> None:
    run = unlearned(store, config)
    with refused("config.json", run.run_id, "does not say how it unlearned", "unlearn again"):
        run.make_method()


def test_the_forget_set_is_checked(store: Store) -> None:
    run = unlearned(store)
    assert run.forget_indices.tolist() == FORGET.tolist()
    assert run.forget_request == "class:0"
    other = unlearned(store, tagged={tags.FORGET: "0" * 16})
    with refused("forget/indices.npy", other.run_id, "damaged", tags.FORGET):
        _ = other.forget_indices


# --- which run ----------------------------------------------------------------------------


def test_runs_that_have_unlearned_something(store: Store) -> None:
    oracle = unlearned(store, tagged={tags.ORACLE_KEY: "k"})
    with refused("auto", "no finished unlearn run", "mlflow run . -e unlearn"):
        read_unlearned(store, "auto", ["unlearn"])
    assert read_unlearned(store, oracle.run_id[:12]).run_id == oracle.run_id
    run = unlearned(store)
    unlearned(store, tagged={tags.ORACLE_KEY: "k"})
    with tracked(store, "unlearn", "empty"):
        pass
    assert read_unlearned(store, "auto", ["unlearn"]).run_id == run.run_id
    original = hand_over(store)
    with refused(original, "(entry prune) has unlearned nothing", "a run of unlearn"):
        read_unlearned(store, original, ["unlearn"])


# --- other runs ---------------------------------------------------------------------------


def test_what_led_to_a_run_and_what_judges_it(store: Store) -> None:
    with tracked(store, "prune", "original") as original:
        original.metrics({"sparsity": 95.0})
        original.tags({tags.MASK: "m"})
    oracle = unlearned(store, tagged={tags.ORACLE_KEY: "k"})
    links = {tags.UPSTREAM: original.run_id, tags.ORACLE: oracle.run_id}
    run = unlearned(store, tagged=links)
    assert run.upstream is not None
    assert run.oracle is not None
    assert (run.upstream.run_id, run.oracle.run_id) == tuple(links.values())
    assert (run.sparsity, run.original_mask, run.oracle_key) == (95.0, "m", "k")
    for run_id in links.values():
        store.client.delete_run(run_id)
    run = read_run(store, run.run_id)
    assert (run.upstream, run.oracle, run.oracle_key) == (None, None, None)
    assert (run.sparsity, run.original_mask) == (None, None)


def test_the_same_oracle(store: Store) -> None:
    """Two oracles are the same if they differ in their seed alone."""
    one, twin, other = (unlearned(store, tagged={tags.ORACLE_KEY: key}) for key in "kko")
    by_one, by_twin, by_other = (
        unlearned(store, tagged={tags.ORACLE: oracle.run_id}) for oracle in (one, twin, other)
    )
    assert all(by_one.same_oracle(run) for run in (by_one, by_twin, one, twin))
    assert not any(by_one.same_oracle(run) for run in (by_other, other))
    alone = unlearned(store)
    assert not alone.same_oracle(by_one)
    assert not alone.same_oracle(alone)
    gone = unlearned(store, tagged={tags.ORACLE: "0" * 32})
    assert gone.same_oracle(replace(gone, run_id="another"))
    assert not gone.same_oracle(replace(gone, tags={tags.ORACLE: "1" * 32}))
