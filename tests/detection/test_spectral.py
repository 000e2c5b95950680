"""Spectral signatures against an eigenvector of the covariance, and on planted clusters."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.detection.activations import along_main_direction, farthest, precision_and_recall
from mu.detection.spectral import SpectralSignatures
from mu.runs import Run
from tests.data.poisoned import SEEDS, make_poison
from tests.detection.networks import checkpoint_of
from tests.helpers import laws, make_dataset, refused

# --- places along the main direction ------------------------------------------------------


def spread(seed, samples, size):
    """Random features whose main direction is clear, but none of the axes."""
    rng = np.random.default_rng(seed)
    turned = np.linalg.qr(rng.normal(size=(size, size)))[0]
    scales = 3.0 ** -np.arange(size)
    return (rng.normal(size=(samples, size)) * scales) @ turned + 5 * rng.normal(size=size)


def slow_scores(rows):
    """Squared parts along the eigenvector of the covariance with the largest eigenvalue."""
    mean = sum(rows) / len(rows)
    covariance = sum(np.outer(row - mean, row - mean) for row in rows) / len(rows)
    values, vectors = np.linalg.eigh(covariance)
    return np.array([np.dot(row - mean, vectors[:, -1]) ** 2 for row in rows]), values


FEATURES = {"seed": SEEDS, "samples": st.integers(2, 20), "size": st.integers(1, 6)}


@laws(80)
@given(**FEATURES)
def test_scores_are_those_of_an_eigenvector_of_the_covariance(seed, samples, size):
    rows = spread(seed, samples, size)
    expected, values = slow_scores(list(rows))

    found = along_main_direction(torch.from_numpy(rows)) ** 2

    assert found.shape == (samples,)
    assert found.mean() == pytest.approx(values[-1])
    if size == 1 or values[-2] < 0.9 * values[-1]:
        assert found == pytest.approx(expected, rel=1e-6, abs=1e-9 * values[-1])


def test_features_of_low_precision_are_compared_in_float64():
    rows = torch.tensor([[1000.0, 0.0], [1000.0, 1.0], [1000.0, 1.0]])

    for features in (rows, rows.bfloat16()):
        found = along_main_direction(features)
        assert found.dtype == np.float64
        assert np.abs(found) == pytest.approx([2 / 3, 1 / 3, 1 / 3], abs=1e-12)


@laws(60)
@given(places=st.lists(st.integers(-50, 50), min_size=1, max_size=15))
def test_the_farthest_is_measured_in_median_distances_from_the_median(places):
    ordered = sorted(places)
    middle = (ordered[len(places) // 2] + ordered[(len(places) - 1) // 2]) / 2
    distances = sorted(abs(place - middle) for place in places)
    unit = (distances[len(places) // 2] + distances[(len(places) - 1) // 2]) / 2
    unit = unit or sum(distances) / len(distances)  # most of them are the same

    found = farthest(np.array(places, np.float64))

    assert found == pytest.approx(distances[-1] / unit if unit else 0.0)


# --- who is suspected ---------------------------------------------------------------------


def suspect(dataset, *, checkpoint=None, run=None, **settings):
    method = SpectralSignatures.of(settings)
    found = method.suspect(checkpoint or checkpoint_of(dataset), dataset, run or Run())
    assert np.all(np.diff(found.scores) <= 0)
    return np.sort(found.numbers)


CLEAN = make_dataset(train=120, classes=3)
# Every tenth image, of all classes: 8 of them become of class 1, which has 48 images then.
PLANTED = make_poison(range(0, 120, 10), target=1, size=4).apply(CLEAN)
WAYS = ["auto", "1", "class_1"]  # of naming the class


def labels_of(dataset, numbers):
    return dataset.train.labels.numpy()[numbers]


@pytest.mark.parametrize("among", WAYS)
def test_a_planted_cluster_is_found(among):
    assert int((PLANTED.train.labels == 1).sum()) == 48

    found = suspect(PLANTED, among=among, share=12 / 48 / 1.5)

    assert found.dtype == np.int64
    assert found.tolist() == PLANTED.poisoned.tolist()


@pytest.mark.parametrize("among", WAYS)
def test_more_are_suspected_than_are_expected_so_that_few_are_missed(among):
    found = suspect(PLANTED, among=among, share=0.25)

    assert len(found) == 18
    assert set(PLANTED.poisoned) < set(found)
    assert set(labels_of(PLANTED, found)) == {1}
    assert np.all(np.diff(found) > 0)


@pytest.mark.parametrize("target", [0, 1, 2])
def test_the_class_that_stands_out_is_told_and_only_that(target):
    run = Run()
    dataset = make_poison(range(0, 120, 10), target=target, size=4).apply(CLEAN)

    found = suspect(dataset, run=run)

    assert set(labels_of(dataset, found)) == {target}
    (note,) = run.notes
    assert f"class 'class_{target}' stands out most" in note
    assert "\n" not in note
    named = Run()
    assert suspect(dataset, run=named, among=str(target)).tolist() == found.tolist()
    assert named.notes == []


def test_the_note_tells_how_far_it_and_the_others_stand_out():
    run = Run()
    suspect(PLANTED, run=run)

    far = []
    for label in range(3):
        pixels = PLANTED.train.pixels[PLANTED.train.labels == label].flatten(1)
        place = along_main_direction((pixels.double() / 255 - 0.25) / 0.2)
        far.append(farthest(place))
    assert f"farthest sample by {far[1]:.1f} median distances" in run.notes[0]
    assert f"other classes by {max(far[0], far[2]):.1f} at most" in run.notes[0]


def test_where_nothing_stands_out_it_is_said():
    run = Run()

    found = suspect(CLEAN, run=run)

    assert len(set(labels_of(CLEAN, found))) == 1
    assert len(found) == 12
    assert len(run.notes) == 2
    assert "no class stands out clearly" in run.notes[1]
    assert "suspects_among" in run.notes[1]


@laws(40)
@given(
    labels=st.lists(st.integers(0, 2), min_size=9, max_size=40),
    percent=st.integers(1, 50),
    seed=SEEDS,
)
def test_each_class_has_as_many_suspects_as_are_expected_and_a_half_more(labels, percent, seed):
    dataset = make_dataset(labels, classes=3, seed=seed, size=4)
    checkpoint = checkpoint_of(dataset)
    share = percent / 100

    found = suspect(dataset, checkpoint=checkpoint, among="all", share=share)

    assert len(set(found)) == len(found)
    for label in range(3):
        size, count = labels.count(label), int((labels_of(dataset, found) == label).sum())
        if size < 3:
            assert count == 0
        else:
            assert count == min(size - 1, max(1, round(1.5 * share * size)))
            alone = suspect(dataset, checkpoint=checkpoint, among=str(label), share=share)
            assert set(alone) == set(found[labels_of(dataset, found) == label])


@laws(20)
@given(seed=SEEDS, percent=st.integers(1, 50))
def test_suspects_have_the_largest_scores_of_their_class(seed, percent):
    clean = make_dataset(train=60, classes=3, seed=seed)
    dataset = make_poison(range(0, 60, 7), target=2, size=4).apply(clean)

    found = suspect(dataset, among="2", share=percent / 100)

    own = np.flatnonzero(dataset.train.labels.numpy() == 2)
    scores, _ = slow_scores(list(dataset.train.pixels.numpy()[own].reshape(len(own), -1) / 255))
    ranked = own[np.argsort(-scores)]
    assert set(found) == set(ranked[: len(found)])


@pytest.mark.parametrize(("among", "classes"), [("all", {0, 1}), ("auto", {0}), ("0", {0})])
def test_equal_features_have_no_direction_and_crash_nothing(among, classes):
    dataset = make_dataset([0, 1, 0, 1, 0] * 4, classes=2)
    dataset.train.pixels[:] = dataset.train.pixels[:1].clone()
    run = Run()

    found = suspect(dataset, among=among, run=run, share=0.25)

    own = labels_of(dataset, found)
    assert {label: int((own == label).sum()) for label in set(own)} == {
        label: {0: 4, 1: 3}[label] for label in classes
    }
    assert len(set(found)) == len(found)
    if among == "auto":
        assert "no class stands out clearly" in run.notes[1]


def test_a_single_class_is_compared_with_no_other():
    dataset = make_dataset([0] * 20, classes=2)
    run = Run()

    found = suspect(dataset, run=run)

    assert len(found) == 6
    assert "of other classes by 0.0 at most" in run.notes[0]


@pytest.mark.parametrize("among", ["all", "auto"])
def test_classes_of_one_or_two_samples_are_passed_over(among):
    dataset = make_dataset([0] * 9 + [1] * 2 + [2], classes=4)

    found = suspect(dataset, among=among)

    assert set(labels_of(dataset, found)) == {0}
    assert len(found) == 3


def test_where_no_class_has_enough_samples_nobody_is_suspected():
    dataset = make_dataset([0] * 9 + [1] * 2 + [2], classes=4)

    for among in ("1", "2", "class_3"):
        with refused("suspects=spectral", "enough training samples"):
            suspect(dataset, among=among)
    for among in ("all", "auto"):
        with refused("suspects=spectral", "enough training samples"):
            suspect(make_dataset([0, 1, 2, 0, 1, 2]), among=among)


def test_once_the_cluster_has_been_removed_nothing_stands_out():
    run = Run()

    suspect(PLANTED, checkpoint=checkpoint_of(PLANTED, removed=PLANTED.poisoned.tolist()), run=run)

    assert "no class stands out clearly" in run.notes[1]


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("share", [0, -0.1, 0.51, 1])
def test_a_share_that_is_none_or_most_of_the_class_is_refused(share):
    with refused("share=", "above 0 and at most 0.5"):
        SpectralSignatures.of({"share": share})


# --- precision and recall -----------------------------------------------------------------

SAMPLES = st.sets(st.integers(0, 20), min_size=1)


@laws(60)
@given(suspects=SAMPLES, poisoned=SAMPLES)
def test_precision_and_recall_are_shares_of_the_two_sets(suspects, poisoned):
    found = precision_and_recall(np.array(list(suspects)), np.array(list(poisoned)))

    both = len(suspects & poisoned)
    assert found == pytest.approx(
        {
            "suspects_precision": 100 * both / len(suspects),
            "suspects_recall": 100 * both / len(poisoned),
        }
    )


def test_without_suspects_or_poison_there_is_neither():
    some, none = np.array([1]), np.array([], np.int64)

    for pair in ((some, none), (none, some)):
        with pytest.raises(ValueError, match="suspects and poisoned"):
            precision_and_recall(*pair)
