"""Batches against slow, obvious ways of making them, one image at a time."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.data.augmentation import AUGMENTATIONS
from mu.data.batches import Batches
from mu.data.images import Images, Subset
from tests.helpers import laws

CPU = torch.device("cpu")


def make_subset(count, *, channels=1, height=6, width=5, seed=0):
    """``count`` samples of a larger set, in no order; the label of each is its own number."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (count + 3, channels, height, width), dtype=np.uint8)
    images = Images(torch.from_numpy(pixels), torch.arange(count + 3))
    mean = tuple(rng.uniform(0.2, 0.6, channels).tolist())
    std = tuple(rng.uniform(0.1, 0.4, channels).tolist())
    return Subset(images, rng.permutation(count + 3)[:count].astype(np.int64), mean, std)


def draws(seed=0):
    return torch.Generator().manual_seed(seed)


def collect(batches):
    """Images by sample number, sample numbers in their order, and batch sizes."""
    images, order, sizes = {}, [], []
    for pixels, labels in batches:
        sizes.append(len(labels))
        for image, label in zip(pixels, labels.tolist(), strict=True):
            images[label] = image.numpy()
            order.append(label)
    return images, order, sizes


def slow_normalised(image, subset):
    """Pixel by pixel in double precision."""
    found = np.empty(image.shape)
    for channel, row, column in np.ndindex(*image.shape):
        scaled = float(image[channel, row, column]) / 255
        found[channel, row, column] = (scaled - subset.mean[channel]) / subset.std[channel]
    return found


def slow_augmented(image, augment, shift, mirror):
    """One image padded with zeros or with what it reflects, cropped at its place, and mirrored."""
    _, height, width = image.shape
    padding, reflects, _ = AUGMENTATIONS[augment]
    sides = ((0, 0), (padding, padding), (padding, padding))
    padded = np.pad(image, sides, "reflect" if reflects else "constant")
    top, left = shift
    cropped = padded[:, top : top + height, left : left + width]
    return cropped[:, :, ::-1] if mirror else cropped


def pixels_of(subset, number):
    return subset.images.pixels[number].numpy()


SIZES = {
    "count": st.integers(1, 40),
    "batch_size": st.integers(1, 12),
    "augment": st.sampled_from([*AUGMENTATIONS]),
    "seed": st.integers(0, 1000),
}


# --- which samples ------------------------------------------------------------------------


@laws(60)
@given(**SIZES)
def test_every_sample_comes_exactly_once_an_epoch(count, batch_size, augment, seed):
    subset = make_subset(count)
    batches = Batches(subset, batch_size, CPU, augment=augment)

    mirrored = torch.zeros(count, dtype=torch.bool)
    for epoch in (batches.shuffled(draws(seed), mirrored), batches.in_order()):
        _, order, sizes = collect(epoch)
        assert sorted(order) == sorted(subset.indices.tolist())
        assert len(sizes) == len(batches)
        assert sum(sizes) == batches.samples == count


@laws(80)
@given(count=st.integers(1, 200), batch_size=st.integers(1, 40))
def test_batches_are_of_equal_size_and_none_of_one_sample(count, batch_size):
    _, _, sizes = collect(Batches(make_subset(count), batch_size, CPU).in_order())

    assert max(sizes) - min(sizes) <= 1
    assert max(sizes) <= max(batch_size, 3)
    assert min(sizes) > 1 or count == 1
    assert len(sizes) <= -(-count // batch_size)


def test_batches_in_order_are_plain_and_in_the_order_of_the_subset():
    subset = make_subset(11, channels=3)
    augmented = Batches(subset, 4, CPU, augment="crop_flip")

    images, order, _ = collect(augmented.in_order())

    assert order == subset.indices.tolist()
    for number, image in images.items():
        expected = slow_normalised(pixels_of(subset, number), subset)
        np.testing.assert_allclose(image, expected, atol=2e-5)


def test_an_empty_subset_gives_no_samples():
    subset = make_subset(5)
    empty = Subset(subset.images, subset.indices[:0], subset.mean, subset.std)

    assert collect(Batches(empty, 4, CPU).in_order())[1] == []


# --- what becomes of them -----------------------------------------------------------------


@laws(50)
@given(
    count=st.integers(1, 30),
    batch_size=st.integers(1, 12),
    augment=st.sampled_from([*AUGMENTATIONS]),
    channels=st.sampled_from([1, 3]),
    height=st.integers(3, 9),
    width=st.integers(3, 9),
    seed=st.integers(0, 1000),
)
def test_every_image_is_augmented_as_one_at_a_time_would_be(
    count, batch_size, augment, channels, height, width, seed
):
    subset = make_subset(count, channels=channels, height=height, width=width, seed=seed)
    batches = Batches(subset, batch_size, CPU, augment=augment)

    given = torch.rand(count, generator=draws(seed + 1)) < 0.5

    images, order, _ = collect(batches.shuffled(draws(seed), given))

    # The same draws again: the order, then for each position of the subset shift and mirror.
    generator = draws(seed)
    expected_order = subset.indices[torch.randperm(count, generator=generator).numpy()]
    padding, _, mirrors = AUGMENTATIONS[augment]
    shifts = np.zeros((count, 2), int)
    mirrored = given.numpy() if mirrors == "alternate" else np.zeros(count, bool)
    if padding:
        shifts = torch.randint(0, 2 * padding + 1, (count, 2), generator=generator).numpy()
    if mirrors == "random":
        mirrored = (torch.rand(count, generator=generator) < 0.5).numpy()
    assert order == expected_order.tolist()
    for position, number in enumerate(subset.indices.tolist()):
        pixels = pixels_of(subset, number)
        pixels = slow_augmented(pixels, augment, shifts[position], mirrored[position])
        expected = slow_normalised(pixels, subset)
        assert images[number].dtype == np.float32
        np.testing.assert_allclose(images[number], expected, atol=2e-5)


@laws()
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=3, unique=True),
    augment=st.sampled_from([*AUGMENTATIONS]),
    seed=st.integers(0, 1000),
)
def test_a_sample_is_augmented_the_same_in_whichever_batch_it_comes(sizes, augment, seed):
    subset = make_subset(23, channels=3)

    mirrored = torch.arange(23) % 3 == 0
    every = (Batches(subset, size, CPU, augment=augment) for size in sizes)
    found = [collect(batches.shuffled(draws(seed), mirrored)) for batches in every]

    for images, order, _ in found[1:]:
        assert order == found[0][1]
        for number, image in images.items():
            assert np.array_equal(image, found[0][0][number])


# --- randomness ---------------------------------------------------------------------------


def test_the_same_seed_gives_the_same_epoch_and_the_next_epoch_differs():
    batches = Batches(make_subset(20), 6, CPU, augment="crop_flip")
    generator = draws(1)

    first, again = collect(batches.shuffled(draws(1))), collect(batches.shuffled(generator))
    second = collect(batches.shuffled(generator))

    assert first[1] == again[1]
    assert all(np.array_equal(first[0][number], again[0][number]) for number in first[0])
    assert first[1] != second[1]
    assert any(not np.array_equal(first[0][number], second[0][number]) for number in first[0])


def test_the_global_generator_is_left_alone():
    before = torch.get_rng_state()

    collect(Batches(make_subset(20), 6, CPU, augment="crop_flip").shuffled(draws()))

    assert torch.equal(torch.get_rng_state(), before)


def test_the_images_are_never_changed():
    subset = make_subset(12)
    before = subset.images.pixels.clone()

    for pixels, labels in Batches(subset, 5, CPU, augment="crop_flip").shuffled(draws()):
        pixels.fill_(9)
        labels.fill_(9)

    assert torch.equal(subset.images.pixels, before)
    assert torch.equal(subset.images.labels, torch.arange(15))


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs CUDA")
def test_an_epoch_is_the_same_on_every_device():
    subset = make_subset(30, channels=3)
    on_cpu = Batches(subset, 8, CPU, augment="crop_flip").shuffled(draws(5))
    on_cuda = Batches(subset, 8, torch.device("cuda"), augment="crop_flip").shuffled(draws(5))

    for (images, labels), (others, other_labels) in zip(on_cpu, on_cuda, strict=True):
        assert torch.equal(labels, other_labels.cpu())
        torch.testing.assert_close(images, others.cpu())
