"""Batches on the device: the whole set lies there as bytes, and nothing is done per image."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import torch
from torch import Tensor

from mu.data.augmentation import ALTERNATE, AUGMENTATIONS, RANDOM
from mu.data.extended import Extended
from mu.data.images import Images, ImageSet, Subset
from mu.data.shifts import shifted
from mu.distributed.ranks import ALONE, Ranks

if TYPE_CHECKING:
    from mu.data.streaming import Stream

Placed = tuple[Tensor, Tensor]  # places among the samples (n,), and pixels, uint8


def batch_count(samples: int, batch_size: int) -> int:
    """How many batches :class:`Batches` makes of so many samples."""
    return max(1, min(math.ceil(samples / batch_size), samples // 2))


class Share(NamedTuple):
    """A rank's part of a batch."""

    # own, whole: samples of the part, and of the batch.
    own: int
    whole: int
    ranks: int  # how many share it

    @property
    def weight(self) -> float:
        """What the part is in proportion to an equal share: the mean over ranks of a part's mean
        times its weight is the mean over the batch.
        """
        return self.own * self.ranks / self.whole if self.whole else 1.0


class Batches:
    """Normalised batches of a subset, in a seeded order with seeded augmentation.

    The bytes are copied to the device once; crops and flips are drawn for every sample of the
    set by seed and epoch, and done on whole batches on the device. So a sample is augmented the
    same in whichever batch it comes, and the same seed gives the same epoch on every device.

    Parameters
    ----------
    subset
        The samples.
    batch_size
        Samples a batch, at the most. All batches have the same size, to within one sample: a
        small last one would leave its own noise in the statistics of batch normalisation, and
        one of a single sample (which is never made of two or more) has none.
    device
        Where batches are wanted.
    augment
        See :data:`mu.data.augmentation.AUGMENTATIONS`. Of images that are streamed ``crop`` is a
        random part of the whole image.
    ranks
        Who shares the batches: each rank gets its part of every one. A part without samples, of a
        batch of fewer than there are ranks, holds one of another's, which has no weight.

    Attributes
    ----------
    scale
        What a grey level is in a normalised image, by channel: (1, channels, 1, 1).
    """

    def __init__(
        self,
        subset: Subset,
        batch_size: int,
        device: torch.device,
        *,
        augment: str = "none",
        ranks: Ranks = ALONE,
    ) -> None:
        self._alternates = AUGMENTATIONS[augment].mirrors == ALTERNATE
        chosen = torch.from_numpy(subset.indices)
        self._device = device
        self._source = _source(subset.images, chosen, augment, device, ranks.local_size)
        self._labels = subset.images.labels[chosen].to(device)
        shape = (1, len(subset.mean), 1, 1)
        self._mean = torch.tensor(subset.mean, device=device).mul(255).view(shape)
        self.scale = torch.tensor(subset.std, device=device).mul(255).reciprocal().view(shape)
        count = batch_count(self.samples, batch_size)
        whole = [Ranks(number, count).part(0, self.samples) for number in range(count)]
        parts = [ranks.part(*bounds) for bounds in whole]
        # What this rank's part of each batch is.
        self.shares = [
            Share(last - first, end - start, ranks.size)
            for (first, last), (start, end) in zip(parts, whole, strict=True)
        ]
        self._places = [
            (first, last) if last > first else (start, min(start + 1, end))
            for (first, last), (start, end) in zip(parts, whole, strict=True)
        ]

    @property
    def samples(self) -> int:
        """Samples an epoch, of all ranks together."""
        return len(self._labels)

    def __len__(self) -> int:
        return len(self.shares)

    def few(self) -> tuple[Tensor, Tensor]:
        """The first two images and labels, plain."""
        found = self._source.plain([torch.arange(min(2, self.samples))])
        return next(self._normalised(found))

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Pairs of float images (n, channels, height, width) and labels (n,), plain."""
        places = [torch.arange(start, end) for start, end in self._places]
        return self._normalised(self._source.plain(places))

    def shuffled(
        self, generator: torch.Generator, mirrored: Tensor | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The same, shuffled and augmented by draws from ``generator`` (on the CPU).

        ``mirrored``: which samples alternating mirroring mirrors this time, bool of shape (n,).
        """
        order = torch.randperm(self.samples, generator=generator).to(self._source.device)
        places = [order[start:end] for start, end in self._places]
        if self._alternates and mirrored is None:
            raise ValueError("alternating mirroring has to be told which samples are mirrored")
        mirrored = mirrored if self._alternates else None
        return self._normalised(self._source.augmented(places, generator, mirrored))

    def normalised(self, pixels: Tensor) -> Tensor:
        """Images of grey levels (0-255) as networks are given them, float32."""
        images = pixels.to(self._device, torch.float32, non_blocking=True, copy=True)
        return images.sub_(self._mean).mul_(self.scale)

    def levels(self, images: Tensor) -> Tensor:
        """Grey levels (0-255) of normalised images that came as bytes: whole numbers."""
        return (images / self.scale + self._mean).round()

    def _normalised(self, batches: Iterator[Placed]) -> Iterator[tuple[Tensor, Tensor]]:
        for places, pixels in batches:
            yield self.normalised(pixels), self._labels[places.to(self._device)]


class _Resident:
    """Pixels that lie on the device, (n, channels, height, width)."""

    def __init__(self, pixels: Tensor, augment: str) -> None:
        self._pixels, self._augment = pixels, AUGMENTATIONS[augment]
        self.device = pixels.device  # where places are wanted: once an epoch, not once a batch

    def plain(self, places: list[Tensor]) -> Iterator[Placed]:
        """The pixels of these batches of consecutive places."""
        for place in places:
            start = int(place[0]) if len(place) else 0
            yield place, self._pixels[start : start + len(place)]

    def augmented(
        self, places: list[Tensor], generator: torch.Generator, mirrored: Tensor | None
    ) -> Iterator[Placed]:
        """The pixels of these batches, shifted and mirrored.

        ``mirrored``: which are, bool of shape (n,), where that is not to be drawn.
        """
        count, (padding, reflects, mirrors) = len(self._pixels), self._augment
        shifts = None
        if padding:
            shifts = torch.randint(0, 2 * padding + 1, (count, 2), generator=generator)
            shifts = shifts.to(self.device)
        if mirrors == RANDOM:
            mirrored = torch.rand(count, generator=generator) < 0.5
        mirrored = mirrored if mirrored is None else mirrored.to(self.device)
        for place in places:
            pixels = self._pixels[place]
            if shifts is not None:
                pixels = shifted(pixels, shifts[place], padding, reflects=reflects)
            if mirrored is not None:
                pixels = torch.where(mirrored[place, None, None, None], pixels.flip(3), pixels)
            yield place, pixels


class _Both:
    """A source, and after its samples others that lie on the device and are not augmented.

    ``rows``: places in the two of them together, of each sample.
    """

    device = torch.device("cpu")  # where places are wanted

    def __init__(self, first: Source, length: int, more: Tensor, rows: Tensor) -> None:
        self._first, self._more = first, more
        self._is_first = rows < length
        # Place of a sample among those that come from the same of the two.
        self._place = torch.where(rows < length, self._is_first.cumsum(0) - 1, rows - length)

    def plain(self, places: list[Tensor]) -> Iterator[Placed]:
        """See :class:`_Resident`."""
        return self._joined(places, self._first.plain(self._of_first(places)))

    def augmented(
        self, places: list[Tensor], generator: torch.Generator, mirrored: Tensor | None
    ) -> Iterator[Placed]:
        """See :class:`_Resident`."""
        first = mirrored if mirrored is None else mirrored[self._is_first]
        return self._joined(places, self._first.augmented(self._of_first(places), generator, first))

    def _of_first(self, places: list[Tensor]) -> list[Tensor]:
        found = [self._place[place[self._is_first[place]]] for place in places]
        return [one.to(self._first.device) for one in found if len(one)]

    def _joined(self, places: list[Tensor], batches: Iterator[Placed]) -> Iterator[Placed]:
        for place in places:
            first = self._is_first[place]
            pixels = self._more.new_empty(len(place), *self._more.shape[1:])
            here = first.to(pixels.device)
            if first.any():
                pixels[here] = next(batches)[1].to(pixels)
            pixels[~here] = self._more[self._place[place[~first]].to(pixels.device)]
            yield place, pixels


Source: TypeAlias = "_Resident | _Both | Stream"


def _source(
    images: ImageSet, rows: Tensor, augment: str, device: torch.device, ranks: int
) -> Source:
    """Where pixels of these rows come from; ``ranks`` on this machine."""
    if isinstance(images, Extended):
        length = len(images.first)
        first = _source(images.first, rows[rows < length], augment, device, ranks)
        return _Both(first, length, images.more.to(device), rows)
    if isinstance(images, Images):
        return _Resident(images.pixels[rows].to(device), augment)
    from mu.data.streaming import Stream, StreamedImages  # torchvision is not needed elsewhere

    assert isinstance(images, StreamedImages)
    return Stream(images, rows, augment, ranks)
