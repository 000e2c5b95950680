"""Copies of records among everything that a model was trained on: exact ones, and near ones."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mu.data.images import ImageDataset, Indices
from mu.data.splits import Split
from mu.erasure.pixels import pixel_digests, published
from mu.errors import UserError
from mu.models.head import features
from mu.runs import Run

CHUNK = 2048  # samples whose features are held at a time, beside those of the records
BLOCK = 4096  # records that these are compared with at a time


class NearCopies(NamedTuple):
    """Near-copies of records, the most alike first; arrays of shape (n_copies,)."""

    numbers: Indices
    similarity: NDArray[np.float64]  # to the record that each is most like
    of: Indices  # sample number of that record


def copies_of(numbers: Indices, dataset: ImageDataset, split: Split) -> Indices:
    """Sample numbers of exact copies among what was trained on, sorted; without ``numbers``.

    A copy has the bytes of a record's file, where the data set has files, or all its pixels.
    """
    images, others = published(dataset).train, np.setdiff1d(split.train, numbers)
    wanted = {digest for _, digest in pixel_digests(images, numbers)}
    found = np.array([n for n, one in pixel_digests(images, others) if one in wanted], np.int64)
    if dataset.manifest is None:
        return found
    return np.union1d(found, dataset.manifest.train.copies(numbers, split.train))


def copied_from(copies: Indices, numbers: Indices, dataset: ImageDataset) -> dict[int, list[int]]:
    """Of which records each of their exact copies is one."""
    records = _digests(numbers, dataset)
    return {
        copy: [number for number, own in records.items() if own & digests]
        for copy, digests in _digests(copies, dataset).items()
    }


def _digests(numbers: Indices, dataset: ImageDataset) -> dict[int, set[str]]:
    """sha256 of each sample's pixels, and of its file where it has one."""
    found = {number: {one} for number, one in pixel_digests(published(dataset).train, numbers)}
    if dataset.manifest is not None:
        for number, own in found.items():
            own.add(dataset.manifest.train.digest(number))
    return found


def near_copies(
    numbers: Indices,
    dataset: ImageDataset,
    split: Split,
    model: nn.Module,
    run: Run,
    threshold: float,
) -> NearCopies:
    """Samples of what was trained on that a network takes for nearly the same as a record.

    Two images are near-copies if the cosine similarity of what goes into the network's head is
    ``threshold`` or more. ``model``: the original, which knows the records. Exact copies are among
    them, unless they are in ``numbers``, which are left out. UserError if the network has no head,
    or its features are no finite numbers.

    The default of the policy suits networks that fit their data: nearly all brightened or newly
    compressed copies are as much alike, and few other images. Of a network that does not fit, other
    images are, too. What the network tells apart, as mirrored or cropped copies, is not found by
    any threshold that spares the class: nobody should take this for a proof that there are no
    others.
    """
    records, others = np.unique(numbers), np.setdiff1d(split.train, numbers)
    found: list[tuple[Indices, Tensor, Tensor]] = []
    if len(records):
        wanted = torch.cat([_directions(model, dataset, one, run) for one in _chunks(records)])
    for chunk in _chunks(others) if len(records) else []:
        best, place = _most_alike(_directions(model, dataset, chunk, run), wanted)
        near = best >= threshold
        found.append((chunk[near.numpy()], best[near], place[near]))
    if not found:
        return no_near_copies()
    alike = np.concatenate([one.numpy() for _, one, _ in found]).astype(np.float64)
    order = np.argsort(-alike, kind="stable")
    places = np.concatenate([one.numpy() for _, _, one in found])
    copies = np.concatenate([one for one, _, _ in found])
    return NearCopies(copies[order], alike[order], records[places][order])


def no_near_copies() -> NearCopies:
    """None found, or none looked for."""
    none = np.array([], np.int64)
    return NearCopies(none, np.array([], np.float64), none)


def _chunks(numbers: Indices) -> list[Indices]:
    return [numbers[start : start + CHUNK] for start in range(0, len(numbers), CHUNK)]


def _directions(model: nn.Module, dataset: ImageDataset, numbers: Indices, run: Run) -> Tensor:
    """Features of length one, float32 of shape (n, n_features)."""
    found = features(model, dataset.training_subset(numbers), run)
    if not bool(torch.isfinite(found).all()):
        raise UserError(
            "near-copies cannot be looked for: the network's features are NaN or infinite; leave "
            "near-copies out, or name another original"
        )
    return nn.functional.normalize(found, dim=1).float()


def _most_alike(samples: Tensor, records: Tensor) -> tuple[Tensor, Tensor]:
    """The largest similarity of each sample to a record, and which that is."""
    best, place = torch.full((len(samples),), -1.0), torch.zeros(len(samples), dtype=torch.int64)
    for start in range(0, len(records), BLOCK):
        alike, where = (samples @ records[start : start + BLOCK].T).max(1)
        nearer = alike > best
        best = torch.where(nearer, alike, best)
        place = torch.where(nearer, where + start, place)
    return best.clamp(max=1.0), place
