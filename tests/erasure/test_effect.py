"""What outputs say of erased records: against a slow count by hand, and verdicts case by case."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.erasure.effect import _chances, _records, assess
from mu.erasure.outputs import Evidence, References
from mu.erasure.policy import Policy
from mu.erasure.verdict import FORGOTTEN, NO_BASELINE, RESIDUAL, _lost
from mu.evaluation.attacks.exposure import exposure
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.rounding import rounded
from tests.helpers import laws

CLASSES, RETAIN, TEST = 3, 120, 150
POLICY = Policy()


def outputs(draws: np.random.Generator, labels: torch.Tensor, sure: float) -> Outputs:
    """Of a network whose log-odds of the labels lie about ``sure``."""
    logits = draws.normal(0, 1, (len(labels), CLASSES))
    logits[np.arange(len(labels)), labels.numpy()] += sure
    return Outputs(torch.from_numpy(logits).float().double(), labels)


def model(draws: np.random.Generator, labels: torch.Tensor, sure: float, *, gone: bool = False):
    """A network that is as sure of test images as of the log-odds 2, and surer of the others."""
    retain = torch.from_numpy(np.arange(RETAIN) % CLASSES)
    test = torch.from_numpy(np.arange(TEST) % CLASSES)
    of_test = outputs(draws, test, 2.0)
    whole = of_test.select(test == 0) if gone else None
    rest = of_test.select(test != 0) if gone else of_test
    return SplitOutputs(outputs(draws, labels, sure), outputs(draws, retain, 6.0), rest, whole)


def evidence(before: float, after: float, *, count: int = 30, seed: int = 0, **more: object):
    draws = np.random.default_rng(seed)
    labels = torch.from_numpy(np.arange(count) % CLASSES)
    models = {role: model(draws, labels, sure) for role, sure in
              (("original", before), ("model", after))}  # fmt: skip
    return Evidence(models, 0, np.zeros(count, bool), **more)


def by_hand(one: SplitOutputs, place: int) -> float:
    """Percent of the record and test images of its class of which the network is as sure."""
    margins = one.test.score("margin").tolist()
    label, mine = int(one.forget.labels[place]), float(one.forget.score("margin")[place])
    same = [m for m, its in zip(margins, one.test.labels.tolist(), strict=True) if its == label]
    return 100 * (sum(m >= mine for m in same) + 1) / (len(same) + 1)


@laws(20)
@given(before=st.floats(0, 8), after=st.floats(0, 8), seed=st.integers(0, 99))
def test_the_rate_of_each_record_is_a_count(before, after, seed):
    found = evidence(before, after, seed=seed)
    rows = assess(found, POLICY).records
    for role, ending in (("original", "Before"), ("model", "After")):
        for place, row in enumerate(rows):
            assert row[f"fpr{ending}"] == rounded(by_hand(found.models[role], place))
    for row in rows:
        known = {one: row[f"fpr{one}"] <= POLICY.known_at for one in ("Before", "After")}
        expected = NO_BASELINE if not known["Before"] else RESIDUAL if known["After"] else FORGOTTEN
        assert row["verdict"] == expected


@laws(20)
@given(seed=st.integers(0, 99), order=st.permutations(range(30)))
def test_the_order_of_records_decides_nothing(seed, order):
    found = evidence(6.0, 3.0, seed=seed)
    plain, other = (assess(found.in_order(one), POLICY) for one in (range(30), order))
    assert [plain.records[place] for place in order] == list(other.records)
    assert (plain.effect, plain.verdict) == (other.effect, other.verdict)


def test_the_order_of_what_stays_says_no_sample_numbers():
    found = evidence(6.0, 3.0)
    numbers = np.random.default_rng(1).permutation(len(found.models["model"].retain))
    rows = torch.from_numpy(numbers)
    models = {
        role: replace(one, retain=one.retain.select(rows)) for role, one in found.models.items()
    }
    kept = replace(found, models=models).in_order(range(30)).to_bytes()
    assert kept == found.in_order(range(30)).to_bytes() != found.to_bytes()


def test_a_file_gives_the_same():
    references = References(np.random.default_rng(0).normal(2, 1, (8, 30)),
                            np.arange(8)[:, None] % 2 == np.arange(30) % 2)  # fmt: skip
    first = replace(evidence(6.0, 3.0, depth=80.0, oracle_spread=1.5), references=references)
    kept = {"depth": 80.0, "oracleSpread": 1.5}
    again = Evidence.from_bytes(first.to_bytes(), kept, retrained=False)
    assert assess(again, POLICY) == assess(first, POLICY)


@pytest.mark.parametrize(
    ("before", "after", "word"),
    [(7.0, 2.0, FORGOTTEN), (7.0, 7.0, RESIDUAL), (2.0, 2.0, NO_BASELINE), (7.0, -3.0, RESIDUAL)],
)
def test_the_verdict(before, after, word):
    assert assess(evidence(before, after), POLICY).verdict["word"] == word


@pytest.mark.parametrize(("seed", "sure"), [(0, 2.6), (11, 2.3), (18, 2.9)])
def test_a_model_that_changed_nothing_never_passes(seed: int, sure: float) -> None:
    found = evidence(sure, 0.0, seed=seed)
    same = replace(found, models=dict.fromkeys(found.models, found.models["original"]))
    done = assess(same, POLICY)
    assert 0.5 < done.effect["before"]["MIA_auc_lo"] < POLICY.auc  # not shown, and no chance
    assert done.verdict["word"] == NO_BASELINE


def test_what_stands_out_as_forgotten_is_no_success():
    reasons = assess(evidence(7.0, -3.0), POLICY).verdict["reasons"]
    assert any("stand out as forgotten" in one for one in reasons)


def test_what_is_back_soon_was_hidden():
    found = assess(evidence(7.0, 2.0, depth=10.0), POLICY).verdict
    assert found["word"] == RESIDUAL
    assert any("hidden" in one for one in found["reasons"])
    lenient = POLICY.replace(depth=5.0)
    assert assess(evidence(7.0, 2.0, depth=10.0), lenient).verdict["word"] == FORGOTTEN
    anew = evidence(7.0, 2.0, depth=10.0, retrained=True)
    assert assess(anew, POLICY).verdict["word"] == FORGOTTEN


def test_few_records_are_judged_one_by_one():
    found = assess(evidence(9.0, 9.0, count=4), POLICY)
    assert "MIA_auc" not in found.effect["after"]
    assert found.verdict["word"] == RESIDUAL
    assert any("all records together" in one for one in found.effect["notTested"])


def test_a_class_that_is_gone_must_not_be_named():
    draws = np.random.default_rng(0)
    labels = torch.zeros(30, dtype=torch.long)
    whole = np.ones(30, bool)
    sure = {"original": 3.0, "model": -6.0}
    models = {role: model(draws, labels, one, gone=True) for role, one in sure.items()}
    models["model"] = replace(models["model"], test_forgotten=outputs(draws, labels, -6.0))
    found = assess(Evidence(models, 0, whole), POLICY)
    assert found.verdict["word"] == FORGOTTEN
    kept = Evidence({**models, "model": models["original"]}, 0, whole)
    assert any("given their class" in one for one in assess(kept, POLICY).verdict["reasons"])


def test_references_calibrate_each_record():
    draws = np.random.default_rng(1)
    first = evidence(7.0, 2.0)
    seen = np.arange(16)[:, None] % 2 == np.arange(30) % 2
    references = References(draws.normal(2, 1, (16, 30)) + 5 * seen, seen)
    found = assess(replace(first, references=references), POLICY)
    expected = exposure(
        first.models["original"].forget.score("margin").numpy(), references.margins, seen
    )
    assert [row["fprBefore"] for row in found.records] == [rounded(one) for one in expected.rate]
    assert [row["fprLowBefore"] for row in found.records] == [rounded(one) for one in expected.low]
    assert "16 reference models" in found.effect["attack"]


def test_lost_use_is_said():
    found = evidence(7.0, 2.0)
    draws = np.random.default_rng(0)
    worse = replace(
        found.models["model"], test=outputs(draws, found.models["model"].test.labels, 0)
    )
    verdict = assess(replace(found, models={**found.models, "model": worse}), POLICY).verdict
    assert not verdict["usable"]
    assert any("accuracy on test images fell" in one for one in verdict["reasons"])


def test_what_an_oracle_shows_too_is_no_knowledge():
    """As where test images are of another kind than training images."""
    first = evidence(8.0, 6.0)
    assert assess(first, POLICY).verdict["word"] == RESIDUAL
    beside = replace(first, models={**first.models, "oracle": first.models["model"]})
    found = assess(beside, POLICY)
    assert found.verdict["word"] != RESIDUAL
    assert all(row["knownOracle"] == row["knownAfter"] for row in found.records)


def test_chance_is_what_it_is_said_to_be():
    """Records that are no different from unseen images seem known as often as is stated."""
    found = [evidence(2.0, 2.0, seed=seed) for seed in range(80)]
    rows = [_records(one, POLICY) for one in found]
    chances = [_chances(one, POLICY, its)["after"] for one, its in zip(found, rows, strict=True)]
    assert np.mean(np.array(chances) <= 0.05) <= 0.1
    assert np.mean(np.array(chances) <= 0.5) >= 0.2
    sure = evidence(2.0, 6.0)
    assert _chances(sure, POLICY, _records(sure, POLICY))["after"] < 0.001


@pytest.mark.parametrize(
    ("rate", "low", "lost"), [(60, 55, False), (60, 57, True), (54, 57, False)]
)
def test_records_that_stay_are_told_better_where_that_is_no_chance(rate, low, lost):
    name = "MIA_privacy_confidence"
    before = {"TA": 90.0, name: 50.0, f"{name}_lo": 48.0, f"{name}_hi": 56.0}
    after = {"TA": 90.0, name: rate, f"{name}_lo": low, f"{name}_hi": 65.0}
    assert bool(_lost(POLICY, {"before": before, "after": after})) is lost
