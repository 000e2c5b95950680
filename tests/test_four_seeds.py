"""Each seed goes where it belongs: a run of which no two seeds are the same, done again by hand."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from mlflow.entities import Run as MlflowRun

import mu
from mu.checkpoints import Checkpoint
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.evaluation.comparison import compare
from mu.evaluation.membership import membership
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import measure, predict_split
from mu.methods import make_method
from mu.methods.base import unlearn
from mu.rounding import rounded
from mu.runs import Run
from mu.tracking import Store
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.test_main_job import newest

TRAINING, SPLIT, UNLEARNING, EVALUATION = 4, 5, 6, 7
FORGET = "random:30"


@dataclass(frozen=True)
class Made:
    """An original, what unlearned it, and the oracle that was trained for that."""

    store: Store
    unlearned: MlflowRun
    oracle: MlflowRun
    original: Checkpoint
    split: ForgetSplit

    def outputs(self, run: MlflowRun) -> SplitOutputs:
        """What the network of a run says."""
        model = mu.load_checkpoint(run.info.run_id).model
        return predict_split(model, self.split, Run(device="cpu"))


@pytest.fixture(scope="module")
def path(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = copy_store(empty_store, tmp_path_factory.mktemp("four-seeds"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        line = (
            f"--method ft --lr 0.1 --epochs 1 --forget {FORGET} --oracle_run_id train --device cpu "
            f"--prune_epochs 2 --prune_train_size 300 --prune_rate 0 --prune_seed {TRAINING} "
            f"--prune_split_seed {SPLIT} --seed {UNLEARNING}"
        )
        assert call("unlearn", *line.split()) == 0
    return path


@pytest.fixture
def made(path: Path, copied: Callable[[Path], Store]) -> Made:
    store = copied(path)
    unlearned, oracle = (newest(store, f"params.method = '{one}'") for one in ("ft", "retrain"))
    original = mu.load_checkpoint(unlearned.data.tags["mu.upstream"])
    data = mu.load_data("digits")
    split = original.spec.forget_split(data, ForgetRequest.parse(FORGET))
    return Made(store, unlearned, oracle, original, split)


def test_the_unlearning_draws_by_its_seed_and_the_oracle_by_the_originals(made: Made) -> None:
    assert made.oracle.data.params["seed"] == str(TRAINING)
    by_hand = copy.deepcopy(made.original)
    run = Run(device="cpu", seed=UNLEARNING)
    unlearn(make_method("ft", {"epochs": 1, "lr": 0.1}), by_hand, made.split, run)
    kept = mu.load_checkpoint(made.unlearned.info.run_id).model.state_dict()
    assert all(torch.equal(kept[name], one) for name, one in by_hand.model.state_dict().items())


def test_attacks_and_intervals_are_drawn_by_the_seed_of_the_split(made: Made) -> None:
    after, theirs = made.outputs(made.unlearned), made.outputs(made.oracle)
    before = predict_split(made.original.model, made.split, Run(device="cpu"))

    def numbers(seed: int) -> dict[str, float]:
        found = {**measure(after, seed=seed), **membership(after, seed=seed)}
        found |= compare(after, theirs, before, seed=seed)
        found |= {f"{name}_before": one for name, one in measure(before, seed=seed).items()}
        return {name: rounded(one) for name, one in found.items()}

    logged, expected = made.unlearned.data.metrics, numbers(SPLIT)
    assert {name: logged[name] for name in expected} == expected
    for seed in (0, TRAINING, UNLEARNING):
        other = numbers(seed)
        for name in ("MIA_privacy_confidence", "MIA_auc_lo", "gap_hi"):
            assert other[name] != expected[name], "or this test says nothing"


def test_evaluate_draws_them_alike_whatever_its_seed(made: Made) -> None:
    line = f"--run_id {made.unlearned.info.run_id} --seed {EVALUATION} --device cpu"
    assert call("evaluate", *line.split()) == 0
    found = newest(made.store, "tags.`mu.entry` = 'evaluate'").data.metrics
    logged = made.unlearned.data.metrics
    shared = {"MIA_privacy_confidence", "MIA_auc_lo", "gap_hi"}
    assert shared <= found.keys()
    assert {name: found[name] for name in shared} == {name: logged[name] for name in shared}
    own = made.oracle.data.metrics
    for name in ("MIA_privacy_confidence", "MIA_auc"):
        assert found[f"{name}_oracle"] == own[name]
