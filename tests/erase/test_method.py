"""How an erasure unlearns: by what was measured on the same original, or from scratch."""

from __future__ import annotations

from pathlib import Path

import pytest

from mu.erasure.policy import Policy
from mu.tasks.erase.method import choose
from mu.tracking import Store, fetch_checkpoint
from tests.conftest import FinishedUnlearn, copy_store, store_uri
from tests.helpers import refused

POLICY = Policy()


@pytest.fixture
def store(finished_unlearn: FinishedUnlearn, tmp_path: Path, monkeypatch) -> Store:
    from mu.tracking import connect

    path = copy_store(finished_unlearn.path, tmp_path / "store")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
    return connect()


def measured(store: Store, run_id: str, **numbers: float) -> None:
    for name, value in numbers.items():
        store.client.log_metric(run_id, name, value, step=99)


def chosen(store: Store, run_id: str, policy: Policy = POLICY, name: str = "auto", *, whole=True):
    spec = fetch_checkpoint(store, run_id).spec
    return choose(store, name, {}, policy, (run_id, spec), whole_classes=whole)


def test_the_smallest_gap_of_those_deep_enough_is_taken(store, finished_unlearn) -> None:
    first, second = finished_unlearn.unlearned
    measured(store, first, gap=1.0, depth=80.0)
    measured(store, second, gap=2.0, depth=90.0)
    found = chosen(store, finished_unlearn.original)
    assert (found.method.name, found.method.as_dict()["lr"]) == ("ft", 0.1)
    assert found.why == f"in run {first} its gap was 1.00 and its depth 80 %"
    measured(store, first, depth=20.0)
    assert second in chosen(store, finished_unlearn.original).why
    measured(store, second, gap=6.0)
    found = chosen(store, finished_unlearn.original)
    assert (found.method.name, "no method is known" in found.why) == ("retrain", True)
    assert second in chosen(store, finished_unlearn.original, POLICY.replace(gap=7.0)).why
    assert first in chosen(store, finished_unlearn.original, POLICY.replace(depth=10.0)).why


def test_a_method_is_known_for_one_kind_of_forget_set_alone(store, finished_unlearn) -> None:
    measured(store, finished_unlearn.unlearned[0], gap=1.0, depth=80.0)
    of_class = chosen(store, finished_unlearn.original)
    of_some = chosen(store, finished_unlearn.original, whole=False)
    assert (of_class.method.name, of_some.method.name) == ("ft", "retrain")
    measured(store, finished_unlearn.other, gap=3.0, depth=80.0)
    assert finished_unlearn.other in chosen(store, finished_unlearn.original, whole=False).why


def test_after_so_many_requests_it_is_retrained(store, finished_unlearn) -> None:
    run_id = finished_unlearn.unlearned[0]
    measured(store, run_id, gap=0.5, depth=80.0)
    once = POLICY.replace(requests=1)
    with refused("method=ga", "went through 1 unlearnings", "requests=1", "method=retrain"):
        chosen(store, run_id, once, "ga")
    found = chosen(store, run_id, once)
    assert (found.method.name, "requests=1" in found.why) == ("retrain", True)
    assert chosen(store, run_id, once, "retrain").why == "as requested"
    assert chosen(store, run_id, POLICY.replace(requests=2), "ga").method.name == "ga"
    # An original, and what was retrained, begin anew.
    assert chosen(store, finished_unlearn.original, once, "ga").method.name == "ga"
    assert chosen(store, finished_unlearn.oracles[0], once, "ga").method.name == "ga"


def test_after_so_much_drift_it_is_retrained(store, finished_unlearn) -> None:
    run_id = finished_unlearn.unlearned[0]
    measured(store, run_id, gap=3.5, depth=80.0)
    with refused("method=ft", "last gap to an oracle was 3.50 points", "drift=3"):
        chosen(store, run_id, name="ft")
    assert chosen(store, run_id).method.name == "retrain"
    assert chosen(store, run_id, POLICY.replace(drift=4.0), "ft").method.name == "ft"
