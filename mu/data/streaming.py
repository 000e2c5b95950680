"""Images that do not fit in memory: decoded and augmented by worker processes, as they are needed.

The order of samples and what is drawn for each of them depend on the seed alone, not on the
number of workers. Evaluation sees the square that ``imagefolder`` makes: shorter side resized,
centre cropped. Training sees a random part of the whole image, as ImageNet's recipes do.
"""

from __future__ import annotations

import hashlib
import multiprocessing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, default_collate
from torchvision.transforms import v2

from mu.data.augmentation import AUGMENTATIONS, RANDOM
from mu.data.files.decode import open_rgb, square_pixels
from mu.data.images import ImageSet
from mu.errors import UserError

PREFETCHED = 4  # batches ahead, of each worker
FEW = 256  # images that are decoded before workers have started
# Name and bytes of an image file by its number; sent to worker processes, so it can be pickled.
Encoded = Callable[[int], tuple[str, bytes]]
# Sample number, the seed of its augmentation, and whether it is mirrored in any case.
Wanted = tuple[int, int | None, bool]


@dataclass(frozen=True, eq=False)
class StreamedImages(ImageSet):
    """Images that are decoded when they are asked for."""

    labels: Tensor
    encoded: Encoded  # their files
    size: int  # side of the squares that they are brought to
    identity: str  # what the files are, in words or digits: two sets with the same are the same
    channels: int = 3  # 3, or 1 of images that are all grey
    workers: int = 0  # processes that decode; 0 for none but this one

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one image."""
        return self.channels, self.size, self.size

    def fetch(self, rows: Tensor) -> Tensor:
        """Pixels of these samples, uint8 of shape (len(rows), channels, height, width)."""
        if not len(rows):
            return torch.empty(0, *self.shape, dtype=torch.uint8)
        decoder = Decoder(self.encoded, self.size, self.channels, "none")
        return _pixels(_joined([decoder[int(row), None, False] for row in rows]))

    def digest(self) -> bytes:
        """sha256 of what they are, their labels and their size."""
        seen = hashlib.sha256(f"{self.identity}/{self.shape}".encode())
        seen.update(self.labels.numpy().data)
        return seen.digest()

    def relabelled(self, labels: Tensor) -> StreamedImages:
        """See :meth:`ImageSet.relabelled`."""
        return replace(self, labels=labels)


class Decoder(Dataset[Tensor | str]):
    """Decodes and augments; what is wrong with an image comes back as text."""

    def __init__(self, encoded: Encoded, size: int, channels: int, augment: str) -> None:
        self._encoded, self._size, self._channels = encoded, size, channels
        self._augment = AUGMENTATIONS[augment]

    def __getitem__(self, wanted: Wanted) -> Tensor | str:
        number, seed, mirrored = wanted
        padding, reflects, _ = self._augment
        try:
            name, content = self._encoded(number)
            if seed is None or not padding:
                return self._square(name, content)
            image = (self._square if reflects else self._whole)(name, content)
        except UserError as error:  # raised by the process that waits for it
            return str(error)
        with torch.random.fork_rng(devices=[]):  # torchvision draws from the global generator
            torch.default_generator.manual_seed(seed)
            found: Tensor = self._transform(image)
        return found.flip(2) if mirrored else found

    def _whole(self, name: str, content: bytes) -> Image.Image:
        image = open_rgb(name, content)
        return image if self._channels == 3 else image.convert("L")

    def _square(self, name: str, content: bytes) -> Tensor:
        pixels = torch.from_numpy(square_pixels(name, content, self._size).copy())
        return pixels.permute(2, 0, 1)[: self._channels].contiguous()

    @cached_property
    def _transform(self) -> v2.Transform:
        padding, reflects, mirrors = self._augment
        first: v2.Transform = v2.RandomResizedCrop(self._size, antialias=True)
        if reflects:
            first = v2.RandomCrop(self._size, padding, padding_mode="reflect")
        flips = [v2.RandomHorizontalFlip()] if mirrors == RANDOM else []
        return v2.Compose([first, *flips, *([] if reflects else [v2.PILToTensor()])])


class Stream:
    """Batches of a set of streamed images; workers live as long as this does.

    ``images`` and ``rows``: the set, and which of its samples. ``augment``: a name of
    :data:`mu.data.augmentation.AUGMENTATIONS`; ``crop`` is a random part of the whole image.
    ``ranks``: how many processes on this machine have streams like this one, and share the workers.
    """

    device = torch.device("cpu")  # where places are wanted

    def __init__(self, images: StreamedImages, rows: Tensor, augment: str, ranks: int = 1) -> None:
        self._rows = rows.tolist()
        self._wanted: list[list[Wanted]] = []  # by the loader, in the next pass
        workers = -(-images.workers // ranks) if len(rows) > FEW else 0
        # Not forked from this process: it has threads, whose locks would be copied.
        context = multiprocessing.get_context("forkserver") if workers else None
        if context is not None:
            context.set_forkserver_preload([__name__])  # so later workers start at once
        self._loader: DataLoader[Tensor | str] = DataLoader(
            Decoder(images.encoded, images.size, images.channels, augment),
            batch_sampler=self._wanted,
            collate_fn=_joined,
            num_workers=workers,
            multiprocessing_context=context,
            persistent_workers=workers > 0,
            prefetch_factor=PREFETCHED if workers else None,
            generator=torch.Generator(),  # else each pass draws from the global one
        )

    def plain(self, places: Sequence[Tensor]) -> Iterator[tuple[Tensor, Tensor]]:
        """For each batch of places among the rows: these places, and their pixels, uint8."""
        return self._read(places, [None] * len(self._rows), None)

    def augmented(
        self, places: Sequence[Tensor], generator: torch.Generator, mirrored: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The same, augmented by a seed for each sample.

        ``mirrored``: which are mirrored, bool of shape (n,), where that is not to be drawn.
        """
        seeds = torch.randint(2**62, (len(self._rows),), generator=generator)
        return self._read(places, seeds.tolist(), mirrored)

    def _read(
        self, places: Sequence[Tensor], seeds: Sequence[int | None], mirrored: Tensor | None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        turned = [False] * len(self._rows) if mirrored is None else mirrored.tolist()
        wanted = list(zip(self._rows, seeds, turned, strict=True))
        self._wanted[:] = [[wanted[n] for n in one.tolist()] for one in places]
        for place, pixels in zip(places, self._loader, strict=True):
            yield place, _pixels(pixels)


def _joined(images: list[Tensor | str]) -> Tensor | str:
    """A batch, or the first thing that is wrong with one of its images."""
    if wrong := [one for one in images if isinstance(one, str)]:
        return wrong[0]
    stacked: Tensor = default_collate(images)  # in a worker, into memory that all see
    return stacked


def _pixels(batch: Tensor | str) -> Tensor:
    if isinstance(batch, str):
        raise UserError(batch)
    return batch
