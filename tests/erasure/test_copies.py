"""Copies among what was trained on, against searches that compare everything with everything."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch

from mu.data.images import Images
from mu.data.manifest import Manifest, PartFiles
from mu.data.splits import Split
from mu.erasure import copies as module
from mu.erasure import pixels
from mu.erasure.copies import copies_of, near_copies
from mu.models.head import features
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.helpers import make_checkpoint, make_dataset, refused

NONE = np.array([], np.int64)
ALL = Split(np.arange(60), NONE, NONE)


def with_copies(**places):
    """A data set in which the image at each place is that of another number."""
    dataset = make_dataset()
    changed = dataset.train.pixels.clone()
    for place, of in places.items():
        changed[int(place[1:])] = changed[of]
    return replace(dataset, train=Images(changed, dataset.train.labels))


def slow_copies(numbers, dataset, split):
    images = dataset.train.pixels
    return [
        n
        for n in split.train.tolist()
        if n not in numbers and any(torch.equal(images[n], images[one]) for one in numbers)
    ]


def test_copies_by_pixels_whatever_their_label(monkeypatch):
    dataset = with_copies(n7=3, n20=3, n21=4, n30=5, n59=30)
    monkeypatch.setattr(pixels, "MOST_BYTES", 500)  # seven images at a time
    split = Split(np.setdiff1d(np.arange(60), [20]), np.array([20]), NONE)
    numbers = np.array([3, 5])
    found = copies_of(numbers, dataset, split)
    assert found.tolist() == slow_copies(numbers, dataset, split) == [7, 30, 59]
    assert copies_of(NONE, dataset, split).tolist() == []


def test_copies_by_the_bytes_of_files_too():
    dataset = with_copies(n7=3)
    digests = [hashlib.sha256(bytes([n % 50])).hexdigest() for n in range(60)]
    files = PartFiles([f"{n}.png" for n in range(60)], digests)
    dataset = replace(dataset, manifest=Manifest("/x", files, PartFiles([])))
    assert copies_of(np.array([3]), dataset, ALL).tolist() == [7, 53]


def test_copies_are_of_images_as_published():
    poisoned = make_poison((1, 5)).apply(with_copies(n7=5))
    assert copies_of(np.array([5]), poisoned, ALL).tolist() == [7]


def slow_near(numbers, dataset, split, model, threshold):
    found = features(model, dataset.training_subset(np.arange(len(dataset.train))), RUN)
    vectors = {n: one / one.norm() for n, one in enumerate(found)}
    rows = []
    for n in set(split.train.tolist()) - set(numbers.tolist()):
        alike = {one: float(vectors[n] @ vectors[one]) for one in numbers.tolist()}
        best = max(alike, key=lambda one: alike[one])
        if alike[best] >= threshold:
            rows.append((n, alike[best], best))
    return sorted(rows, key=lambda row: -row[1])


RUN = Run(device="cpu", precision="fp32", threads=1)


@pytest.mark.parametrize("small", [False, True])
def test_near_copies_are_those_of_the_slow_search(monkeypatch, small):
    dataset = make_dataset()
    changed = dataset.train.pixels.clone()
    changed[9] = (changed[4].float() * 1.05).byte()
    dataset = replace(dataset, train=Images(changed, dataset.train.labels))
    model, numbers = make_checkpoint(dataset).model, np.array([2, 4, 11])
    if small:
        monkeypatch.setattr(module, "CHUNK", 7)
        monkeypatch.setattr(module, "BLOCK", 2)
    split = Split(np.arange(50), np.arange(50, 60), NONE)
    for threshold in (0.999, 0.99):
        slow = slow_near(numbers, dataset, split, model, threshold)
        found = near_copies(numbers, dataset, split, model, RUN, threshold)
        assert slow
        assert found.numbers.tolist() == [n for n, _, _ in slow]
        assert found.of.tolist() == [one for _, _, one in slow]
        assert found.similarity == pytest.approx([alike for _, alike, _ in slow], abs=1e-6)


def test_exact_copies_are_near_copies_and_nothing_has_none():
    dataset = with_copies(n7=3)
    model = make_checkpoint(dataset).model
    found = near_copies(np.array([3]), dataset, ALL, model, RUN, 0.9999999)
    assert (found.numbers.tolist()[0], found.of.tolist()[0]) == (7, 3)
    assert found.similarity[0] == pytest.approx(1.0)
    assert len(near_copies(NONE, dataset, ALL, model, RUN, 0.99).numbers) == 0
    assert len(near_copies(np.arange(60), dataset, ALL, model, RUN, 0.99).numbers) == 0


def test_features_that_are_no_numbers_are_refused():
    dataset = make_dataset()
    model = make_checkpoint(dataset).model
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with refused("near-copies cannot be looked for", "NaN"):
        near_copies(np.array([3]), dataset, ALL, model, RUN, 0.99)
