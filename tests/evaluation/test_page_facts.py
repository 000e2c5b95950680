"""What a run's page shows, against slow and obvious ways to the same numbers."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType

import numpy as np
import pytest
import torch

from mu.evaluation.by_class import class_accuracy, confusion
from mu.evaluation.distance.weights import layer_distances
from mu.evaluation.embedding import embed
from mu.evaluation.known import as_sure, best_known, most_changed
from mu.evaluation.membership import Calls, called_members
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.score_counts import BINS, WIDEST, ScoreCounts
from tests.evaluation.distance.looks import look, outputs


def test_accuracy_by_class_is_that_of_a_loop_over_samples():
    one = outputs(300, classes=5, seed=4)
    one = one.select(one.labels != 2)  # a class without samples
    counts = confusion(one)
    right, seen = [0] * 5, [0] * 5
    pairs = np.zeros((5, 5), int)
    for logits, label in zip(one.logits.tolist(), one.labels.tolist(), strict=True):
        answer = max(range(5), key=logits.__getitem__)
        pairs[label, answer] += 1
        seen[label] += 1
        right[label] += answer == label
    assert np.array_equal(counts, pairs)
    expected = [100 * r / s if s else float("nan") for r, s in zip(right, seen, strict=True)]
    np.testing.assert_allclose(class_accuracy(counts), expected)


def two_models() -> dict[str, SplitOutputs]:
    return {"original": look(1), "unlearned": look(2, scale=8.0)}


def test_rates_at_every_threshold_are_counted_sample_by_sample():
    models = two_models()
    found = ScoreCounts.of(models)
    for name, one in models.items():
        for part in found.counts[name]:
            margins = one.parts()[part].score("margin").tolist()
            for place in range(1, BINS + 1, 7):
                brute = sum(margin >= found.edges[place] for margin in margins) / len(margins)
                if place < BINS:
                    assert found.called(name, part, place) == pytest.approx(brute)
            assert found.called(name, part, 0) == 1
            assert found.called(name, part, BINS) == 0


def test_the_best_threshold_has_the_largest_difference_of_rates():
    found = ScoreCounts.of(two_models())
    gains = [
        found.called("original", "retain", place) - found.called("original", "test", place)
        for place in range(BINS + 1)
    ]
    assert gains[found.best("original")] == max(gains)


def test_unseen_images_are_counted_only_where_they_are_others_than_the_test_set():
    everything = look()
    assert "unseen" not in ScoreCounts.of({"original": everything}).counts["original"]
    forget = everything.forget.select(everything.forget.labels == everything.forget.labels[0])
    one = SplitOutputs(forget, everything.retain, everything.test, None)
    counts = ScoreCounts.of({"original": one}).counts["original"]
    assert counts["unseen"].sum() == (everything.test.labels == forget.labels[0]).sum()


def test_outputs_that_are_hidden_or_certain_are_counted_at_the_ends():
    logits = torch.tensor([[-1e4, 0.0], [1e4, 0.0], [0.5, 0.0]], dtype=torch.float64)
    one = Outputs(logits, torch.zeros(3, dtype=torch.int64))
    found = ScoreCounts.of({"original": SplitOutputs(one, one, one, None)})
    assert (found.edges[0], found.edges[-1]) == (-WIDEST, WIDEST)
    counts = found.counts["original"]["forget"]
    assert (counts[0], counts[-1], counts.sum()) == (1, 1, 3)


def test_a_threshold_parts_what_the_attack_calls():
    one = look(3)
    calls = Calls.of(one, seed=1)
    assert np.array_equal(calls.forget, called_members(one, "confidence", seed=1))
    if calls.threshold is not None:
        margins = one.forget.score("margin").numpy()
        assert np.array_equal(calls.forget, margins >= calls.threshold)


def test_a_threshold_of_clearly_parted_samples_lies_between_them():
    def sure(of: float, count: int) -> Outputs:
        spread = torch.linspace(-0.3, 0.3, count, dtype=torch.float64)
        return Outputs(
            torch.stack([of + spread, torch.zeros(count)], 1), torch.zeros(count, dtype=torch.int64)
        )

    calls = Calls.of(SplitOutputs(sure(0.0, 20), sure(4.0, 50), sure(0.0, 50), None), seed=0)
    assert calls.threshold is not None
    assert 0.3 < calls.threshold < 4.0
    assert not calls.forget.any()


def test_the_best_known_come_first_and_others_at_even_distances():
    margins = np.random.default_rng(0).normal(size=1000)
    found = best_known(margins, 10, 5)
    order = np.argsort(-margins)
    assert found[:10].tolist() == order[:10].tolist()
    assert found[10:].tolist() == order[[10, 257, 504, 752, 999]].tolist()
    assert best_known(margins[:12], 10, 5).tolist() == np.argsort(-margins[:12]).tolist()


def test_most_changed_are_those_of_the_largest_difference():
    before, after = np.array([0.5, 0.9, 0.2, 1.0]), np.array([0.6, 0.1, 0.2, 0.5])
    assert most_changed(before, after, 3).tolist() == [1, 3, 0]
    assert most_changed(before, before, 3).tolist() == []


def test_as_sure_counts_ties_as_sure():
    found = as_sure(np.array([0.0, 1.0, 9.0]), np.array([1.0, 2.0, 3.0, 0.5]))
    assert found.tolist() == [100.0, 75.0, 0.0]


def test_axes_are_those_of_the_original_for_both():
    draws = torch.Generator().manual_seed(0)
    before = torch.randn(50, 7, generator=draws, dtype=torch.float64) * torch.arange(1, 8)
    shift = torch.zeros(7, dtype=torch.float64)
    shift[6] = 3.0
    found = embed(before, before + shift)
    moves = found.after - found.before
    assert np.ptp(moves, axis=0) == pytest.approx([0, 0], abs=1e-9)  # all by the same
    assert np.linalg.norm(moves[0]) == pytest.approx(3.0, rel=0.1)
    # The best plane of all: what is left over is what the other singular values hold.
    values = torch.linalg.svdvals(before - before.mean(0)).square()
    assert found.shares[0] == pytest.approx(float(values[:2].sum() / values.sum()))


class _Umap:
    """Stands for UMAP, which takes seconds to load: the first axes, stretched."""

    def __init__(self, n_components: int, random_state: int, n_jobs: int) -> None:
        self.axes = n_components

    def fit(self, features):
        self.embedding_ = self.transform(features)
        return self

    def transform(self, features):
        return 2 * features[:, : self.axes]


def test_umap_is_taken_where_it_is_installed(monkeypatch):
    module = ModuleType("umap")
    module.__dict__.update(UMAP=_Umap, __spec__=ModuleSpec("umap", None))
    monkeypatch.setitem(sys.modules, "umap", module)
    before = torch.randn(60, 7)
    found = embed(before, before + 1)
    assert found.shares is None
    assert np.allclose(found.before, 2 * before[:, :2])
    assert np.allclose(found.after, found.before + 2)
    assert embed(before[:9], before[:9]).shares is not None  # too few to have neighbours


def test_features_of_one_dimension_or_none_that_differ_have_places():
    one = torch.arange(4.0, dtype=torch.float64)[:, None]
    assert embed(one, one).before[:, 1].tolist() == [0.0] * 4
    assert embed(one * 0, one * 0).shares == (1.0, 1.0)


def test_layers_are_measured_one_by_one():
    before = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    after = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))
    after.load_state_dict(before.state_dict())
    with torch.no_grad():
        before[1].weight.zero_()
        before[1].bias.zero_()
        after[0].weight += 1
    norm = torch.cat([one.detach().flatten() for one in before[0].parameters()]).norm()
    found = layer_distances(after, before)
    assert found["0"] == pytest.approx(float(torch.tensor(12.0).sqrt() / norm))
    assert np.isnan(found["1"])  # there was nothing that it could be relative to
    assert layer_distances(before, before) == {"0": 0.0, "1": 0.0}
