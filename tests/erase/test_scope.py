"""Which networks of a store a request is about, which it is not, and why."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pytest

from mu import tags
from mu.data import load_data
from mu.file_names import SPEC_FILE
from mu.pruning import PRUNERS
from mu.report.verdict import BAD
from mu.tasks.erase.scope import scope_of
from mu.tracking import Store, artifacts, connect
from mu.tracking.saved_runs import LOADED
from tests.conftest import FinishedUnlearn, copy_store, store_uri
from tests.erase.made import DATA, ORIGINAL, OTHER, RECORDS, SPLIT, Family
from tests.helpers import refused


@pytest.fixture
def family(store: Store) -> Family:
    return Family(store)


def decided(store, targets=(), numbers=RECORDS):
    """Decision, records and reason of every network, by run ID."""
    models = scope_of(store, DATA, numbers, targets).models
    return {one.run_id: (one.decision, one.records, one.reason) for one in models}


def test_a_lineage_and_what_becomes_of_each(family: Family) -> None:
    original = family.original()
    sparse = family.original(seed=4)
    other = family.original(OTHER)
    unlearned = family.unlearned(original, "ft", RECORDS[:3])
    twice = family.unlearned(unlearned, "ga", RECORDS[3:])
    oracle = family.unlearned(original, "retrain", RECORDS)
    beside = family.unlearned(original, "ft", SPLIT.train[8:])
    moved, clean = family.transferred(original), family.transferred(oracle)
    healed = family.transferred(twice)
    by_ft, by_ga = (
        f"{n} forgotten by {m} in run {r} (not retrained)"
        for n, m, r in ((3, "ft", unlearned), (1, "ga", twice))
    )
    seen = "trained on 4 of the 4 records"
    assert decided(family.store, [original]) == {
        original: ("unlearn", 4, seen),
        sparse: ("retire", 4, seen),
        other: ("not_affected", 0, "trained on data of another fingerprint"),
        unlearned: ("retire", 1, f"trained on 1 of the 4 records, {by_ft}"),
        twice: ("not_affected", 0, f"{by_ga}, {by_ft}"),
        oracle: ("not_affected", 0, f"retrained without them in run {oracle}"),
        beside: ("retire", 4, seen),
        moved: ("retire", 4, f"descends from run {original}: {seen}"),
        clean: (
            "not_affected", 0,
            f"descends from run {oracle}: retrained without them in run {oracle}",
        ),
        healed: ("not_affected", 0, f"descends from run {twice}: {by_ga}, {by_ft}"),
    }  # fmt: skip


def test_a_method_that_changed_nothing_has_forgotten_nothing(family: Family) -> None:
    original = family.original()
    same = family.unlearned(original, "nothing", RECORDS)
    later = family.unlearned(same, "ft", SPLIT.train[8:10])
    for run_id in (same, later):
        assert decided(family.store)[run_id] == ("retire", 4, "trained on 4 of the 4 records")


@pytest.mark.parametrize(
    ("verdict", "decision"),
    [("shallow", "retire"), ("useless", "retire"), ("partial", "not_affected")],
)
def test_what_an_unlearning_only_hid_is_retired(
    family: Family, verdict: str, decision: str
) -> None:
    run_id = family.unlearned(family.original(), "ft", RECORDS)
    family.store.client.set_tag(run_id, tags.VERDICT, verdict)
    why = f"forgotten by ft in run {run_id} (not retrained, {verdict})"
    assert decided(family.store)[run_id] == (decision, 0, why)


def test_what_was_forgotten_before_a_retraining_it_was_retrained_without(family: Family) -> None:
    first = family.unlearned(family.original(), "ft", RECORDS[:2])
    again = family.unlearned(first, "retrain", RECORDS[2:])
    later = family.unlearned(again, "ga", SPLIT.train[8:10])
    why = f"retrained without them in run {again}"
    assert [decided(family.store)[one][2] for one in (again, later)] == [why, why]


def test_records_that_were_not_trained_on(family: Family) -> None:
    original = family.original()
    found = decided(family.store, [original], SPLIT.val[:2])
    assert found[original] == ("not_affected", 0, "in its validation part alone")
    both = np.sort(np.concatenate([SPLIT.val[:1], RECORDS[:1]]))
    why = "trained on 1 of the 2 records, 1 in its validation part alone"
    assert decided(family.store, numbers=both)[original] == ("retire", 1, why)


def test_a_network_trained_on_for_this_data_saw_all_of_it(family: Family) -> None:
    moved = family.transferred(family.original(OTHER), DATA)
    found = decided(family.store, numbers=SPLIT.val[:2])
    assert found[moved] == ("retire", 2, "trained on 2 of the 2 records")


def test_what_cannot_be_known_counts_as_one_that_saw_them(family: Family) -> None:
    store = family.store
    gone, deleted = family.original(), family.original()
    lost, below = family.transferred(gone), family.transferred(deleted)
    store.client.set_tag(lost, tags.UPSTREAM, "0" * 32)
    store.client.delete_run(deleted)
    damaged, loop = family.original(), family.transferred(gone)
    store.client.set_tag(damaged, tags.SPEC, "0" * 16)
    store.client.set_tag(loop, tags.UPSTREAM, loop)
    found = decided(store)
    assert {found[one][0] for one in (lost, below, damaged, loop)} == {"retire"}
    assert found[lost][2].startswith(f"its source, run {'0' * 32}, is gone, so nothing shows")
    assert found[below][2] == f"descends from run {deleted}: trained on 4 of the 4 records"
    assert "its spec cannot be read" in found[damaged][2]
    assert deleted not in found


def test_numbers_without_a_network_and_a_network_being_made(family: Family) -> None:
    loaded, running = family.original(), family.original()
    family.store.client.set_tag(loaded, LOADED, "abc")
    family.store.client.update_run(running, status="RUNNING")
    found = decided(family.store)
    assert found[loaded][0] == "not_affected"
    assert "saved as run abc" in found[loaded][2]
    assert found[running][0] == "retire"
    assert "it is RUNNING on this data" in found[running][2]


def test_all_experiments_are_looked_at(family: Family) -> None:
    there = family.store.client.create_experiment("another")
    elsewhere = Family(replace(family.store, experiment_id=there)).original()
    assert decided(family.store)[elsewhere][0] == "retire"


def test_specs_are_read_of_this_data_alone_and_weights_never(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = family.original()
    for _ in range(3):
        family.original(OTHER)
    family.transferred(original)
    reads, plain = [], artifacts.read

    def counted(store, run, path):
        reads.append((run.info.run_id, path))
        return plain(store, run, path)

    monkeypatch.setattr("mu.tracking.reader.read", counted)
    assert len(scope_of(family.store, DATA, RECORDS, [original]).models) == 5
    assert [one for one in reads if one[1] != SPEC_FILE] == []
    assert {run_id for run_id, _ in reads} == {original}


def test_a_target_without_a_network_is_refused(family: Family) -> None:
    original = family.original()
    with refused("run abcd holds no network", "finished run"):
        scope_of(family.store, DATA, RECORDS, ["abcd"])
    (model,) = scope_of(family.store, DATA, RECORDS, [original]).models
    assert model.weights == family.store.run(original).data.tags[tags.WEIGHTS]


# --- masks --------------------------------------------------------------------------------


def saw(store, run_id, numbers=RECORDS):
    (mask,) = scope_of(store, DATA, numbers, [run_id]).masks
    assert mask.run_id == run_id
    return mask.saw_records, mask.reason


@pytest.mark.parametrize("pruner", sorted(PRUNERS))
@pytest.mark.parametrize("when", ["initial", "trained"])
def test_a_mask_that_no_data_was_looked_at_for(family: Family, pruner: str, when: str) -> None:
    free = pruner == "random" or (when == "initial" and pruner not in ("snip", "grasp"))
    original = family.original(pruner=pruner, pruning={"rate": 0.5, "when": when})
    found, why = saw(family.store, original)
    assert found is not free
    assert ("a training on 4 of the 4 records" in why) is not free


def test_other_masks_of_originals(family: Family) -> None:
    original = family.original()
    assert saw(family.store, original, SPLIT.val[:1]) == (
        False, "found by omp in a training without the records",
    )  # fmt: skip
    assert saw(family.store, family.original(pruning={"rate": 0.0})) == (False, "nothing is pruned")
    fitted = replace(ORIGINAL.spec.recipe.model, arch="fastnet")  # its initial weights, to images
    assert saw(
        family.store, family.original(model=fitted, pruning={"rate": 0.5, "when": "initial"})
    )[0]
    imported = family.original(given_mask="0" * 64)
    assert "given from elsewhere" in saw(family.store, imported)[1]
    family.store.client.set_tag(imported, tags.UPSTREAM, original)
    assert saw(family.store, imported)[1].startswith(f"taken from run {original}: found by omp")


def test_masks_of_what_was_unlearned(family: Family) -> None:
    original = family.original()
    for method, mask_from, free in (
        ("ft", "", False), ("retrain", "upstream", False), ("retrain", "retain", True),
    ):  # fmt: skip
        run_id = family.unlearned(original, method, RECORDS, mask_from=mask_from)
        found, why = saw(family.store, run_id)
        assert found is not free
        assert why.startswith(f"taken from run {original}") is not free
    changed = family.unlearned(original, "prq", RECORDS)
    family.store.client.set_tag(changed, tags.MASK, "0" * 16)
    assert saw(family.store, changed)[1].startswith("changed by prq on a network that was trained")
    family.store.client.set_tag(original, tags.UPSTREAM, changed)
    moved = family.transferred(changed)
    assert saw(family.store, moved)[0]


# --- a real lineage -----------------------------------------------------------------------


def test_a_real_store(finished_unlearn: FinishedUnlearn, tmp_path, monkeypatch) -> None:
    path = copy_store(finished_unlearn.path, tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    store, data = connect(), load_data("digits", None, None)
    forgotten = next(store.search(f"attributes.run_id = '{finished_unlearn.unlearned[0]}'"))
    numbers = artifacts.read(store, forgotten, "forget/indices.npy")
    records = np.load(io.BytesIO(numbers), allow_pickle=False)[:5]
    scope = scope_of(store, data, records, [finished_unlearn.original])
    found = {one.run_id: one for one in scope.models}
    assert found[finished_unlearn.original].decision == "unlearn"
    assert found[finished_unlearn.other].decision == "retire"
    assert {found[one].decision for one in finished_unlearn.oracles} == {"not_affected"}
    for run_id in finished_unlearn.unlearned:
        failed = store.run(run_id).data.tags.get(tags.VERDICT) in BAD
        assert found[run_id].decision == ("retire" if failed else "not_affected")
        assert found[run_id].reason.startswith(f"forgotten by ft in run {run_id} (not retrained, ")
    assert {found[one].reason for one in finished_unlearn.oracles} == {
        f"retrained without them in run {one}" for one in finished_unlearn.oracles
    }
    assert [one.saw_records for one in scope.masks] == [True]
