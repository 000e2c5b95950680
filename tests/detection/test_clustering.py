"""Activation clustering on features whose clusters are known, and against all splits."""

from itertools import combinations

import numpy as np
import pytest
import torch

from mu.detection.activations import ClassFeatures, reduced, smallest_cluster
from mu.detection.clustering import ActivationClustering
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.detection.networks import checkpoint_of
from tests.helpers import make_dataset, refused


def two_clusters(small, large, distance, seed=0, size=6):
    """Normal features, the first ``small`` of them shifted along a direction that is no axis."""
    rng = np.random.default_rng(seed)
    direction = np.ones(size) / np.sqrt(size)
    rows = rng.normal(size=(small + large, size))
    rows[:small] += distance * direction
    return rows


def of(rows):
    return ClassFeatures(np.arange(len(rows)), torch.from_numpy(rows))


@pytest.mark.parametrize(("small", "large"), [(5, 95), (20, 80), (3, 20)])
def test_a_distant_cluster_is_the_smaller_one_with_its_share(small, large):
    rows = two_clusters(small, large, 40)
    found = smallest_cluster(of(rows), 10)

    assert found.rows.tolist() == list(range(small))
    assert found.share == small / (small + large)
    assert found.silhouette > 0.1
    centre = rows[small:].mean(0)
    inverse = np.linalg.inv(np.cov(rows.T, bias=True))  # whitened, distances are Mahalanobis's
    distance = np.sqrt(np.einsum("ij,jk,ik->i", rows - centre, inverse, rows - centre))
    assert found.scores == pytest.approx(distance[:small] / np.median(distance[small:]))


def test_it_is_the_best_of_all_splits_into_two():
    rows = two_clusters(3, 7, 3, seed=1, size=2)
    white = reduced(rows, 2)

    def spread(chosen):
        inside = np.isin(np.arange(len(rows)), chosen)
        return sum(((part - part.mean(0)) ** 2).sum() for part in (white[inside], white[~inside]))

    every = [one for count in range(1, 6) for one in combinations(range(len(rows)), count)]
    assert set(smallest_cluster(of(rows), 2).rows) == set(min(every, key=spread))


def silhouette(values, inside):
    """Mean over samples of (b - a) / max(a, b), one sample after the other; 0 of a lone one."""
    found = []
    for row, one in enumerate(values):
        own = [other for other in range(len(values)) if inside[other] == inside[row]]
        others = [other for other in range(len(values)) if inside[other] != inside[row]]
        distance = np.sqrt(((values - one) ** 2).sum(1))
        a = sum(distance[other] for other in own) / max(1, len(own) - 1)
        b = sum(distance[other] for other in others) / len(others)
        found.append((b - a) / max(a, b) if len(own) > 1 else 0.0)
    return sum(found) / len(found)


def test_the_silhouette_score_is_that_of_its_definition():
    rows = two_clusters(6, 30, 8, seed=2)
    found = smallest_cluster(of(rows), 3)

    inside = np.isin(np.arange(len(rows)), found.rows)
    assert found.silhouette == pytest.approx(silhouette(reduced(rows, 3), inside))


@pytest.mark.parametrize("dimensions", [1, 3, 10])
def test_components_are_uncorrelated_of_unit_variance_and_span_the_main_directions(dimensions):
    rows = np.random.default_rng(0).normal(size=(200, 6)) * 2.0 ** np.arange(6)

    found = reduced(rows, dimensions)

    count = min(6, dimensions)
    assert np.cov(found.T, bias=True).reshape(count, count) == pytest.approx(
        np.eye(count), abs=1e-6
    )
    values, vectors = np.linalg.eigh(np.cov(rows.T))
    main = (rows - rows.mean(0)) @ vectors[:, np.argsort(-values)[:count]]
    left = main - found @ np.linalg.lstsq(found, main, rcond=None)[0]
    assert np.abs(left).max() < 1e-6 * np.abs(main).max()


def test_there_are_no_more_components_than_directions():
    rng = np.random.default_rng(0)
    flat = rng.normal(size=(50, 2)) @ rng.normal(size=(2, 8))  # in a plane, as dead units leave it

    assert reduced(flat, 10).shape == (50, 2)
    assert reduced(np.ones((50, 8)), 10).shape == (50, 0)


PLANTED = make_poison(range(0, 240, 40), target=1, size=4).apply(
    make_dataset(train=240, classes=3, channels=3)
)


def suspect(**settings):
    run = Run()
    given = {"dimensions": 2, **settings}  # noise in ten, all as wide, hides the cluster
    found = ActivationClustering.of(given).suspect(checkpoint_of(PLANTED), PLANTED, run)
    return found, run.notes


def test_the_share_of_the_cluster_and_how_many_classes_have_one_are_told():
    found, notes = suspect()

    share = len(found.numbers) / int((PLANTED.train.labels == 1).sum())
    assert f"smallest cluster of class 'class_1' has {100 * share:.1f} % of it" in notes[0]
    assert "1 of 3 classes" in notes[0]
    assert len(notes) == 1


def test_more_clusters_separate_what_two_do_not():
    rng = np.random.default_rng(0)
    halves = np.repeat([[0.0, 0.0], [12.0, 0.0]], 100, axis=0)
    rows = np.concatenate([np.tile([[6.0, 9.0]], (12, 1)), halves]) + rng.normal(size=(212, 2))

    assert len(smallest_cluster(of(rows), 10).rows) > 60
    assert smallest_cluster(of(rows), 10, clusters=3).rows.tolist() == list(range(12))


@pytest.mark.parametrize("settings", [{"size": 0.05}, {"silhouette": 0.9}, {"clusters": 20}])
def test_clusters_that_are_large_or_tiny_or_are_not_two_are_not_suspected(settings):
    found, notes = suspect(**settings)

    assert len(found.numbers) == 0
    assert not found.stand_out
    assert "0 of 3 classes" in notes[0]
    assert "nobody is suspected" in notes[1]


def test_a_lone_sample_is_no_cluster():
    dataset = make_dataset(train=60, classes=2)
    dataset.train.pixels[4] = 255
    run = Run()

    found = ActivationClustering().suspect(checkpoint_of(dataset), dataset, run)

    assert smallest_cluster(
        of(dataset.train.pixels[::2].flatten(1).double().numpy()), 10
    ).rows.tolist() == [2]
    assert len(found.numbers) == 0


@pytest.mark.parametrize(
    ("name", "value"),
    [("size", 0), ("size", 0.6), ("silhouette", 1), ("dimensions", 0), ("clusters", 1)],
)
def test_limits_without_sense_are_refused(name, value):
    with refused(f"{name}={value}"):
        ActivationClustering.of({name: value})
