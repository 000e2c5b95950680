"""The depth of forgetting in runs: who measures what, what is taken over, and what is not added."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mu import tags
from mu.checkpoints import Checkpoint
from mu.errors import UserError
from mu.evaluation.depth import measure
from mu.evaluation.depth.relearn import Relearning
from mu.tasks.depth import depth_key, logged_depth
from mu.tasks.problem import TrackedModel
from mu.tracking import Store, fetch_checkpoint
from tests.commands import Program
from tests.conftest import UnlearnedStore

OF_ORACLE = measure.OF_ORACLE


@pytest.fixture
def relearned(monkeypatch: pytest.MonkeyPatch) -> list[Checkpoint]:
    """The networks whose steps are counted, in turn."""
    found: list[Checkpoint] = []
    count = Relearning.quickest

    def spy(self: Relearning, checkpoint: Checkpoint, *rest: Any) -> int | None:
        if not found or found[-1] is not checkpoint:  # an oracle may be counted more than once
            found.append(checkpoint)
        return count(self, checkpoint, *rest)

    monkeypatch.setattr(Relearning, "quickest", spy)
    return found


def metrics(store: Store, run_id: str) -> dict[str, float]:
    return dict(store.run(run_id).data.metrics)


def test_oracles_know_their_own_and_others_beside_them(unlearned: UnlearnedStore) -> None:
    store = unlearned.store
    for oracle in unlearned.oracles:
        found = metrics(store, oracle)
        assert set(OF_ORACLE) <= set(found)
        assert "cka_original" in found
        assert not {"depth", "cka_oracle", "relearn_steps_oracle"} & set(found)
    for run_id in unlearned.unlearned:
        found, run = metrics(store, run_id), store.run(run_id)
        its = metrics(store, run.data.tags[tags.ORACLE])
        for name in OF_ORACLE:
            own = name if name == "relearn_lr" else f"{name}_oracle"
            assert found[own] == its[name]
        assert {"relearn_steps", "probe_acc", "cka_oracle", "cka_original"} <= set(found)
        assert found["speedup"] == pytest.approx(its["RTE"] / found["RTE"], rel=0.01)
    every = (*unlearned.unlearned, *unlearned.oracles)
    keys = {store.run(one).data.tags[tags.DEPTH] for one in every}
    assert len(keys) == 1
    # No oracle, nothing to compare with.
    assert not {*measure.NAMES} & set(metrics(store, unlearned.other))
    assert tags.DEPTH not in store.run(unlearned.other).data.tags


def test_what_the_oracles_run_has_logged_is_not_measured_again(
    unlearned: UnlearnedStore, program: Program, relearned: list[Checkpoint]
) -> None:
    store, oracle = unlearned.store, unlearned.oracles[0]
    line = f"unlearn --prune_run_id {unlearned.original} --forget class:3 --method nothing "
    line += f"--oracle_run_id {oracle} --device cpu"

    def newest() -> dict[str, float]:
        assert program(line)[0] == 0
        return metrics(store, next(store.search("tags.`mu.entry` = 'unlearn'")).info.run_id)

    taken = newest()
    assert len(relearned) == 1
    store.client.set_tag(oracle, tags.DEPTH, "of something else")
    measured = newest()
    assert len(relearned) == 3
    assert relearned[1].fingerprint == fetch_checkpoint(store, oracle).fingerprint
    costs = {"RTE", "speedup", "peak_memory_mb"}
    assert {n: v for n, v in measured.items() if n not in costs} == {
        n: v for n, v in taken.items() if n not in costs
    }
    assert (taken["relearn_steps"], taken["cka_original"]) == (0, 1)


def test_a_store_that_does_not_answer_costs_a_measurement_only() -> None:
    class Silent:
        def run(self, run_id: str) -> None:
            raise UserError(f"the store does not answer for {run_id}")

    oracle = TrackedModel("oracle", None)  # type: ignore[arg-type]
    assert logged_depth(Silent(), oracle, "key") is None  # type: ignore[arg-type]


def test_the_key_tells_all_that_an_oracles_numbers_depend_on() -> None:
    def key(network: str = "n", forget: str = "f", batch: int = 8, **run: int) -> str:
        recipe = SimpleNamespace(training=SimpleNamespace(batch_size=batch))
        split, spec = SimpleNamespace(fingerprint=forget), SimpleNamespace(recipe=recipe)
        problem: Any = SimpleNamespace(network=network, split=split, spec=spec)
        on: Any = SimpleNamespace(**{"seed": 0, "bf16": False, **run})
        return depth_key(problem, on)

    others = [key(network="m"), key(forget="g"), key(batch=16), key(seed=1), key(bf16=True)]
    assert len({key(), *others}) == 6
