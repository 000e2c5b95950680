"""The train/validation split: a partition, exact, stratified, and the same for ever."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mu.data.splits import SplitSpec, split
from tests.helpers import laws, refused

LABELS = st.lists(st.integers(0, 4), min_size=2, max_size=80).map(np.array)
SHARES = st.sampled_from([0.0, 0.1, 0.2, 1 / 3, 0.5, 0.9]) | st.floats(0, 0.95)
SEEDS = st.integers(0, 2**32 - 1)


@st.composite
def balanced_labels(draw):
    """Labels of up to ten classes whose sizes differ by one at the most, in any order."""
    classes = draw(st.integers(1, 10))
    count = draw(st.integers(2 * classes, 120))
    return np.random.default_rng(draw(SEEDS)).permutation(np.arange(count) % classes)


@st.composite
def specs(draw, count):
    """A spec that ``count`` samples can meet, with or without ``train_size``."""
    share, seed = draw(SHARES), draw(SEEDS)
    most = int(count * (1 - share)) - 1
    if draw(st.booleans()) and most >= 1:
        return SplitSpec(seed, share, draw(st.integers(1, most)))
    assume(count - round(share * count) > 0)
    return SplitSpec(seed, share)


def expected_sizes(count, spec):
    """Sizes of train, val and unused, by hand."""
    if spec.train_size is None:
        val = round(spec.val_share * count)
        return count - val, val, 0
    used = round(spec.train_size / (1 - spec.val_share))
    return spec.train_size, used - spec.train_size, count - used


@laws(80)
@given(labels=LABELS, data=st.data())
def test_sorted_disjoint_parts_of_the_sizes_asked_for_cover_everything(labels, data):
    spec = data.draw(specs(len(labels)))
    found = split(labels, spec)
    parts = (found.train, found.val, found.unused)
    assert np.array_equal(np.sort(np.concatenate(parts)), np.arange(len(labels)))
    assert tuple(map(len, parts)) == expected_sizes(len(labels), spec)
    for part in parts:
        assert part.dtype == np.int64
        assert np.all(np.diff(part) > 0)


def furthest_from_its_share(labels, part, whole):
    """Largest difference between a class's samples in ``part`` and its share of ``whole``."""
    share = len(part) / max(len(whole), 1)
    return max(
        abs(np.sum(labels[part] == label) - share * np.sum(labels[whole] == label))
        for label in np.unique(labels)
    )


@laws(80)
@given(labels=balanced_labels(), data=st.data())
def test_every_class_has_its_share_to_within_one_sample(labels, data):
    parts = split(labels, data.draw(specs(len(labels))))
    used = np.concatenate([parts.train, parts.val])

    assert furthest_from_its_share(labels, used, np.arange(len(labels))) <= 1
    assert furthest_from_its_share(labels, parts.val, used) <= 1
    assert furthest_from_its_share(labels, parts.train, used) <= 1


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_a_large_class_does_not_pay_for_many_small_ones(share):
    labels = np.array([0] * 1000 + list(range(1, 101)))
    parts = split(labels, SplitSpec(0, share))

    assert furthest_from_its_share(labels, parts.val, np.arange(len(labels))) <= 1


@laws()
@given(labels=LABELS, data=st.data())
def test_the_same_spec_gives_the_same_split_whatever_else_is_random(labels, data):
    spec = data.draw(specs(len(labels)))

    first = split(labels, spec)
    np.random.seed(data.draw(st.integers(0, 1000)))
    second = split(labels.copy(), SplitSpec(**spec.as_dict()))

    assert np.array_equal(first.train, second.train)
    assert np.array_equal(first.val, second.val)
    assert np.array_equal(first.unused, second.unused)


def test_a_known_split_never_changes():
    # Checkpoints name their split by its spec alone: a change here puts samples that a model
    # was validated on into its training set.
    parts = split(np.arange(40) % 4, SplitSpec(7, 0.2, 20))

    assert parts.val.tolist() == [0, 4, 9, 19, 30]
    assert parts.train.tolist() == [
        1, 3, 7, 10, 12, 13, 14, 17, 20, 22, 24, 26, 27, 28, 32, 33, 35, 37, 38, 39,
    ]  # fmt: skip


def test_another_seed_makes_another_split():
    labels = np.arange(200) % 10

    assert len({split(labels, SplitSpec(seed)).val.tobytes() for seed in range(10)}) == 10


def test_samples_of_a_class_are_equally_likely_to_validate():
    labels = np.arange(60) % 3
    drawn = np.zeros(60)
    for seed in range(400):
        drawn[split(labels, SplitSpec(seed, 0.2)).val] += 1

    # 400 draws of probability 0.2 have mean 80 and deviation 8.
    assert np.all(np.abs(drawn - 80) < 5 * 8)


# --- refusing -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"val_share": 1.0}, ("val_share=1.0", "below 1")),
        ({"val_share": -0.1}, ("val_share=-0.1", "at least 0")),
        ({"train_size": 0}, ("train_size=0", "at least 1")),
        ({"split_seed": -1}, ("split_seed=-1", "at least 0")),
    ],
)
def test_a_spec_out_of_range_is_refused(values, texts):
    with refused(*texts):
        SplitSpec(**values)


def test_more_training_samples_than_there_are_is_refused_with_their_number():
    with refused("train_size=91", "90"):
        split(np.arange(100) % 10, SplitSpec(0, 0.1, 91))


def test_a_split_that_leaves_nothing_to_train_on_is_refused():
    with refused("val_share=0.9", "no training images"):
        split(np.zeros(3, int), SplitSpec(0, 0.9))


@laws(60)
@given(count=st.integers(2, 300), share=SHARES)
def test_the_training_part_of_the_default_split_can_be_asked_for_by_its_size(count, share):
    labels = np.zeros(count, int)
    assume(count - round(share * count) > 0)
    size = len(split(labels, SplitSpec(0, share)).train)

    parts = split(labels, SplitSpec(0, share, size))

    assert len(parts.train) == size
