"""Which finished runs are those of a task: an oracle of any seed, an unlearning of its oracle."""

from __future__ import annotations

from mu.keys import oracle_key
from mu.methods import make_method
from mu.tags import ORACLE, ORACLE_KEY, UNLEARNING
from mu.tasks.sweep.find import Finder
from mu.tasks.sweep.plan import PlannedOriginal, Task
from mu.tracking import Store
from tests.tracking.handovers import hand_over, small_checkpoint

UPSTREAM = {"mask_from": "upstream"}


def planned() -> PlannedOriginal:
    return PlannedOriginal("o", {}, {"class:0": "f"}, small_checkpoint().spec, {"f": "retained"})


def oracle_task(original: PlannedOriginal) -> Task:
    what = {"forget_set": "f", "method": "retrain", "settings": UPSTREAM, "seed": None}
    return Task("k", "oracle", "oracle", original, ("o",), what)


def test_an_oracle_of_another_seed_is_taken_if_its_mask_is_the_originals(store: Store) -> None:
    checkpoint, original = small_checkpoint(), planned()
    results = {"o": {"run_id": hand_over(store, checkpoint)}}
    keys = [
        oracle_key(checkpoint.spec, "retained", mask, "upstream")
        for mask in (checkpoint.mask.fingerprint, "")
    ]
    oracle, _ = (hand_over(store, entry="unlearn", tags={ORACLE_KEY: key}) for key in keys)
    found = Finder(store).find(oracle_task(original), results)
    assert found is not None
    assert found["run_id"] == oracle


def test_an_unlearning_is_done_only_if_it_was_compared_with_its_oracle(store: Store) -> None:
    original, finder = planned(), Finder(store)
    judges = [hand_over(store, entry="unlearn", tags={ORACLE_KEY: key}) for key in ("a", "b")]
    results = {"o": {"run_id": hand_over(store)}, "k": {"run_id": judges[0]}}
    method = make_method("ft", {"epochs": 1})
    what = {"forget_set": "f", "method": "ft", "settings": method.as_dict(), "seed": 1}
    task = Task("c", "cell", "ft", original, ("o", "k"), what)
    name, key = finder.tag(task, results)
    assert name == UNLEARNING
    made = [hand_over(store, entry="unlearn", tags={name: key, ORACLE: judge}) for judge in judges]
    hand_over(store, entry="unlearn", tags={name: key})
    found = finder.find(task, results)
    assert found is not None
    assert found["run_id"] == made[0]
