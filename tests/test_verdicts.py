"""Methods that are worth nothing go through the whole pipeline, and are called what they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from mu.tracking import Store, connect
from tests.commands import call
from tests.conftest import copy_store, store_uri
from tests.test_main_job import newest

pytestmark = pytest.mark.slow
LINES = {
    "nothing": ("--method", "nothing"),
    "logit_mask": ("--method", "logit_mask"),
    "destroyer": ("--method", "ff", "--alpha", "1"),  # noise alone is left of the weights
    "other oracle": ("--method", "retrain", "--seed", "1", "--oracle_run_id"),
}
EXPECTED = {"nothing": "useless", "logit_mask": "shallow", "destroyer": "destroyed"}


@pytest.fixture(scope="module")
def judged(empty_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    path = copy_store(empty_store, tmp_path_factory.mktemp("judged"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(path))
        original = ("--rate", "0", "--epochs", "10", "--train_size", "400", "--device", "cpu")
        assert call("prune", *original) == 0
        common = ("--forget", "class:3", "--device", "cpu")
        assert call("unlearn", "--method", "retrain", *common) == 0
        for name in ("nothing", "logit_mask", "destroyer"):
            assert call("unlearn", *LINES[name], *common) == 0
        first = newest(connect(), "params.method = 'retrain'").info.run_id
        assert call("unlearn", *LINES["other oracle"], first, *common) == 0
        yield connect()


def run_of(store: Store, name: str):
    method = LINES[name][1]
    seed = "1" if name == "other oracle" else "0"
    return newest(store, f"params.method = '{method}' and params.seed = '{seed}'")


@pytest.mark.parametrize("name", EXPECTED)
def test_each_is_called_what_it_is(judged: Store, name: str) -> None:
    run = run_of(judged, name)
    assert run.data.tags["mu.verdict"] == EXPECTED[name]
    description = run.data.tags["mlflow.note.content"]
    assert "Verdict: " in description
    assert "the original, which unlearned nothing, has" in description


def test_an_oracle_of_another_seed_cannot_be_told_from_the_oracle(judged: Store) -> None:
    run = run_of(judged, "other oracle")
    assert run.data.tags["mu.verdict"] == "indistinguishable"
    assert run.data.metrics["gain_lo"] > 10


def test_the_null_method_is_the_original_in_every_number(judged: Store) -> None:
    found = run_of(judged, "nothing").data.metrics
    for name in ("UA", "RA", "TA", "MIA", "MIA_auc", "gap"):
        assert found[name] == found[f"{name}_before"]
    assert found["gain"] == found["gain_lo"] == found["gain_hi"] == 0


def test_the_mask_has_the_numbers_that_other_runs_give_it(judged: Store) -> None:
    own, other = (run_of(judged, name).data.metrics for name in ("logit_mask", "nothing"))
    for name in ("UA", "RA", "TA", "MIA", "gap"):
        assert own[name] == other[f"{name}_logit_mask"]
    assert own["gap"] < 5 < own["gap_before"], "by the gap alone it would look good"


def test_the_ranking_has_controls_and_verdicts(
    judged: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", judged.uri)
    assert call("mu", "runs", "--best") == 0
    printed = capsys.readouterr().out
    assert re.search(r"^ff .*destroyed", printed, re.MULTILINE)
    assert re.search(r"^nothing ", printed, re.MULTILINE)
    assert call("mu", "runs", "--best", "--sort", "gap") == 2


def test_mu_show_says_it(
    judged: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", judged.uri)
    assert call("mu", "show", run_of(judged, "nothing").info.run_id) == 0
    assert re.search(r"verdict +useless", capsys.readouterr().out)


def test_a_mask_without_a_class_is_refused_before_a_run_is_opened(
    judged: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    before = len(list(judged.search("")))
    assert (
        call("unlearn", "--method", "logit_mask", "--forget", "random:10", "--device", "cpu") == 2
    )
    assert "give forget=class:3" in capsys.readouterr().err
    assert len(list(judged.search(""))) == before
