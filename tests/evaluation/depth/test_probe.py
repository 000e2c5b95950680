"""The probe against counting neighbours by hand, and which samples it uses."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.evaluation.depth import samples as samples_module
from mu.evaluation.depth.probe import nearest_classes, probe_accuracy
from mu.evaluation.depth.samples import Samples
from tests.evaluation.depth.made import DATA, make_features, make_samples
from tests.helpers import laws


def slow_classes(known, labels, queries):
    found = []
    for query in queries.tolist():
        cosines = []
        for one, label in zip(known.tolist(), labels.tolist(), strict=True):
            product = sum(a * b for a, b in zip(query, one, strict=True))
            cosines.append((product / (math.hypot(*query) * math.hypot(*one)), label))
        nearest = sorted(cosines, reverse=True)[:5]
        votes = {label: sum(c for c, y in nearest if y == label) for _, label in nearest}
        found.append(max(votes, key=lambda label: votes[label]))
    return found


@laws()
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_neighbours_vote_by_their_cosine(seed: int, count: int) -> None:
    rng = np.random.default_rng(seed)
    known, queries = (torch.from_numpy(rng.uniform(size=(n, 3))) for n in (count, 8))
    labels = torch.from_numpy(rng.integers(0, 3, count))
    found = nearest_classes(known, labels, queries)
    assert found.tolist() == slow_classes(known, labels, queries)


def test_a_class_is_probed_on_unseen_images_by_as_many_forgotten_as_a_retained_class_has() -> None:
    whole = make_samples((1,))
    samples = replace(whole, retained=whole.retained.part(0, 60))
    features = make_features(samples, apart=2)
    each = len(samples.retained) // len(set(samples.retained.labels.tolist()))
    assert 0 < each < len(samples.forgotten)
    known = torch.cat([features.retained, features.forgotten[:each]])
    labels = torch.cat([samples.retained.labels, samples.forgotten.labels[:each]])
    found = slow_classes(known, labels, features.unseen)
    expected = 100 * np.mean([one == 1 for one in found])
    assert probe_accuracy(features, samples) == pytest.approx(expected)
    hidden = replace(features, forgotten=features.forgotten.clone())
    hidden.forgotten[each:] = torch.nan  # never looked at
    assert probe_accuracy(hidden, samples) == pytest.approx(expected)


def test_other_forget_sets_are_probed_on_themselves_by_what_is_retained() -> None:
    samples = make_samples(())
    features = make_features(samples, apart=2)
    found = slow_classes(features.retained, samples.retained.labels, features.forgotten)
    expected = 100 * np.mean(np.array(found) == samples.forgotten.labels.numpy())
    assert 30 < expected < 100
    assert probe_accuracy(features, samples) == pytest.approx(expected)


def test_no_images_of_the_class_no_number() -> None:
    samples = make_samples((1,))
    none = replace(samples, unseen=samples.unseen.part(0, 0))
    features = make_features(none)
    assert math.isnan(probe_accuracy(features, none))


# --- samples ------------------------------------------------------------------------------


def test_samples_are_of_their_parts_and_the_same_for_a_seed() -> None:
    one, again, other = (make_samples((1, 3), seed=seed) for seed in (4, 4, 5))
    train, test = DATA.train.labels.numpy(), DATA.test.labels.numpy()
    assert set(train[one.forgotten.indices]) == {1, 3}
    assert set(train[one.retained.indices]) == {0, 2}
    assert set(one.unseen.indices) == set(np.flatnonzero(np.isin(test, (1, 3))))
    assert one.whole == (1, 3)
    for part in ("forgotten", "retained", "unseen"):
        mine = getattr(one, part).indices.tolist()
        assert mine == getattr(again, part).indices.tolist()
        assert len(set(mine)) == len(mine)
        assert mine != getattr(other, part).indices.tolist(), part


def test_large_parts_are_drawn_from_equally_and_small_classes_have_a_few(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def counts(samples: Samples) -> list[int]:
        return np.bincount(samples.retained.labels.numpy(), minlength=4).tolist()

    monkeypatch.setattr(samples_module, "MOST", 30)
    found = make_samples.__wrapped__((1,))
    assert counts(found) == [10, 0, 10, 10]
    assert len(found.forgotten) == 30
    assert np.isin(found.forgotten.indices, make_samples((1,)).forgotten.indices).all()
    monkeypatch.setattr(samples_module, "MOST", 2)
    assert counts(make_samples.__wrapped__((1,))) == [5, 0, 5, 5]
