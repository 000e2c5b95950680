"""Image files, decoded to RGB squares."""

from __future__ import annotations

import hashlib
import io

import numpy as np
import torch
from PIL import Image, ImageOps

from mu.data.files.listing import Sample
from mu.data.files.names import formats
from mu.data.files.tree import ImageTree
from mu.data.images import Images
from mu.data.manifest import PartFiles
from mu.errors import UserError

DEFAULT_SIZE = 64
STREAMED_SIZE = 224  # what networks for ImageNet see
MEMORY_LIMIT = 8 * 2**30


def common_size(tree: ImageTree, samples: list[Sample]) -> int:
    """The side of the images where all are squares of one size, else 64."""
    sizes = set()
    for name, content in tree.read(name for name, _ in samples):
        sizes.add(_open(name, content).size)
        if len(sizes) > 1:
            return DEFAULT_SIZE
    (width, height) = sizes.pop()
    return width if width == height else DEFAULT_SIZE


def fits_memory(count: int, size: int) -> bool:
    """Whether ``count`` RGB squares of ``size`` pixels are at most 8 GiB."""
    return count * 3 * size**2 <= MEMORY_LIMIT


def check_memory(count: int, size: int, place: str) -> None:
    """Refuse more images than memory should hold."""
    if not fits_memory(count, size):
        raise UserError(
            f"the images of {place!r} at {size} pixels exceed 8 GiB; choose a smaller image_size"
        )


def decode(tree: ImageTree, samples: list[Sample], size: int) -> tuple[Images, PartFiles]:
    """Decode to RGB squares of ``size`` pixels (shorter side resized, centre cropped).

    UserError names the file, if one is damaged, missing, or there twice. Gives the files with the
    sha256 of their bytes; both in the order of ``samples``.
    """
    position = {name: index for index, (name, _) in enumerate(samples)}
    if len(position) < len(samples):
        seen_twice = next(name for i, (name, _) in enumerate(samples) if position[name] != i)
        raise UserError(f"{str(tree.root)!r} lists {seen_twice!r} twice; repair it")
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    digests = [""] * len(samples)
    for name, content in tree.read(position):
        pixels[position[name]] = square_pixels(name, content, size)
        digests[position[name]] = hashlib.sha256(content).hexdigest()
    if missing := sorted(name for name, index in position.items() if not digests[index]):
        raise UserError(
            f"{str(tree.root)!r} lacks {missing[0]!r}: it changed while it was read, or is "
            "incomplete; complete it"
        )
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    planes = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    return Images(planes, labels), PartFiles([name for name, _ in samples], digests)


def _open(name: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content), formats=formats())
    except Exception as error:  # damaged bytes raise anything in whoever decodes them
        raise UserError(f"{name!r} is a damaged image; repair or remove it") from error


def decode_rgb(name: str, content: bytes) -> np.ndarray:
    """Pixels of an encoded image at its own size, uint8 of shape (height, width, 3).

    UserError names the image, if it is damaged, or cut.
    """
    return np.asarray(open_rgb(name, content))


def open_rgb(name: str, content: bytes) -> Image.Image:
    """An encoded image, decoded, as RGB of 8 bits a channel; errors as :func:`decode_rgb`'s.

    Greys of 16 bits are scaled, where Pillow would clip them; floats are refused.
    """
    image = _open(name, content)
    if image.mode == "F":
        raise UserError(f"{name!r} has pixels of floating point; convert it to 8 or 16 bits")
    try:
        if image.mode.startswith("I"):
            grey = np.rint(np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB")
        return image.convert("RGB")
    except Exception as error:  # as above
        raise UserError(f"{name!r} is a damaged image ({error}); repair or remove it") from error


def square_pixels(name: str, content: bytes, size: int) -> np.ndarray:
    """RGB pixels of an encoded image, (size, size, 3): shorter side resized, centre cropped.

    Errors as :func:`decode_rgb`'s.
    """
    image = open_rgb(name, content)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)
