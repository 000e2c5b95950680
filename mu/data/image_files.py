"""Trees of image files, in a folder, tar or zip, decoded once into memory (and into a cache)."""

from __future__ import annotations

import hashlib
import io
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cached_property, partial
from pathlib import Path
from tarfile import HeaderError, ReadError
from typing import Self

import numpy as np
import torch
from PIL import Image, ImageOps, UnidentifiedImageError

from mu.data.images import Images
from mu.errors import UserError

SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".ppm"}
DEFAULT_SIZE = 64
STREAMED_SIZE = 224  # what networks for ImageNet see
MEMORY_LIMIT = 8 * 2**30

Sample = tuple[str, int]  # path inside the tree, label


class _StrictTarInfo(tarfile.TarInfo):
    """Refuses a tar that ends, or is damaged, at or inside a later header.

    tarfile itself takes these for the end of the archive, and images would silently be missing.
    """

    @classmethod
    def fromtarfile(cls, tarfile: tarfile.TarFile) -> Self:
        """The next member; the end is a block of zeros and nothing else."""
        try:
            return super().fromtarfile(tarfile)
        except HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":
                raise
            raise ReadError(f"damaged or cut ({error})") from error


class ImageTree:
    """The files below a folder or inside a tar or zip, by relative path.

    A :class:`UserError` says so, as soon as it is read, if ``root`` is neither.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @cached_property
    def names(self) -> list[str]:
        """Paths of all images, sorted."""
        if self.root.is_dir():
            found = (path.relative_to(self.root) for path in self.root.rglob("*") if path.is_file())
            return sorted(path.as_posix() for path in found if _is_image(path.name))
        with self._archive() as members:
            return sorted({name for name, _ in members if _is_image(name)})

    def read(self, wanted: Iterable[str]) -> Iterator[tuple[str, bytes]]:
        """Pairs of path and bytes for the ``wanted`` paths, in the order of storage.

        A member that an archive stores twice comes twice; the later one counts.
        """
        chosen = set(wanted)
        if self.root.is_dir():
            for name in sorted(chosen):
                yield name, (self.root / name).read_bytes()
            return
        with self._archive() as members:
            for name, content in members:
                if name in chosen:
                    yield name, content()

    @contextmanager
    def _archive(self) -> Iterator[Iterator[tuple[str, Callable[[], bytes]]]]:
        """The files in an archive: their names, and what reads them while it is at them."""
        kind = "tar"
        try:
            with self.root.open("rb") as file:
                kind = "zip" if file.read(len(_ZIP_START)) == _ZIP_START else kind
            yield (_zipped if kind == "zip" else _tarred)(self.root)
        except _UNREADABLE as error:
            raise UserError(
                f"{str(self.root)!r} is no readable {kind} ({error}); name a folder, or an archive "
                "that is whole, with data_dir"
            ) from error


_ZIP_START = b"PK\x03\x04"
# A RuntimeError is of a zip with a password, or packed in a way that zipfile does not know.
_UNREADABLE = (
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
)


def _tarred(root: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with tarfile.open(root, "r|*", tarinfo=_StrictTarInfo) as archive:
        for member in archive:
            if stream := archive.extractfile(member) if member.isfile() else None:
                yield member.name.removeprefix("./"), stream.read


def _zipped(root: Path) -> Iterator[tuple[str, Callable[[], bytes]]]:
    with zipfile.ZipFile(root) as archive:
        for member in archive.infolist():
            if not member.is_dir():
                yield member.filename.removeprefix("./"), partial(archive.read, member)


def _is_image(name: str) -> bool:
    return Path(name).suffix.lower() in SUFFIXES and not Path(name).name.startswith(".")


def class_folders(tree: ImageTree, part: str) -> dict[str, list[str]]:
    """The folders below ``part`` (``""`` for the root itself), and their images; both sorted."""
    prefix = f"{part}/" if part else ""
    found: dict[str, list[str]] = {}
    for name in tree.names:
        folder, inside, _ = name.removeprefix(prefix).partition("/")
        if name.startswith(prefix) and inside:
            found.setdefault(folder, []).append(name)
    return dict(sorted(found.items()))


def labelled(folders: Mapping[str, list[str]], classes: Iterable[str]) -> list[Sample]:
    """(path, label) of every image in the folders of these classes, class by class."""
    return [(path, n) for n, name in enumerate(classes) for path in folders.get(name, ())]


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


def decode(tree: ImageTree, samples: list[Sample], size: int) -> Images:
    """Decode to RGB squares of ``size`` pixels (shorter side resized, centre cropped).

    Raises
    ------
    UserError
        Naming the file, if one is damaged, missing, or there twice.
    """
    position = {name: index for index, (name, _) in enumerate(samples)}
    if len(position) < len(samples):
        seen_twice = next(name for i, (name, _) in enumerate(samples) if position[name] != i)
        raise UserError(f"{str(tree.root)!r} lists {seen_twice!r} twice; repair it")
    pixels = np.empty((len(samples), size, size, 3), np.uint8)
    seen = set()
    for name, content in tree.read(position):
        pixels[position[name]] = square_pixels(name, content, size)
        seen.add(name)
    if missing := sorted(position.keys() - seen):
        raise UserError(
            f"{str(tree.root)!r} lacks {missing[0]!r}: it changed while it was read, or is "
            "incomplete; complete it"
        )
    labels = torch.tensor([label for _, label in samples], dtype=torch.int64)
    return Images(torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), labels)


def _open(name: str, content: bytes) -> Image.Image:
    try:
        return Image.open(io.BytesIO(content))
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise UserError(f"{name!r} is a damaged image; repair or remove it") from error


def decode_rgb(name: str, content: bytes) -> np.ndarray:
    """Pixels of an encoded image at its own size, uint8 of shape (height, width, 3).

    Raises
    ------
    UserError
        Naming the image, if it is damaged, or cut.
    """
    return np.asarray(open_rgb(name, content))


def open_rgb(name: str, content: bytes) -> Image.Image:
    """An encoded image, decoded, as RGB of 8 bits a channel; errors as :func:`decode_rgb`'s.

    Greys of 16 bits are scaled, where Pillow would clip them.
    """
    image = _open(name, content)
    try:
        if image.mode.startswith("I"):
            grey = np.rint(np.asarray(image, np.float64) / 257).clip(0, 255).astype(np.uint8)
            return Image.fromarray(grey).convert("RGB")
        return image.convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"{name!r} is a damaged image ({error}); repair or remove it") from error


def square_pixels(name: str, content: bytes, size: int) -> np.ndarray:
    """RGB pixels of an encoded image, (size, size, 3): shorter side resized, centre cropped.

    Errors as :func:`decode_rgb`'s.
    """
    image = open_rgb(name, content)
    if image.size != (size, size):
        image = ImageOps.fit(image, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(image)


# --- the cache of decoded archives --------------------------------------------------------


def cache_folder() -> Path:
    """Where decoded archives are kept: ``$MU_CACHE``, by default ``~/.cache/mu``."""
    return Path(os.environ.get("MU_CACHE") or Path.home() / ".cache" / "mu")


def file_digest(path: Path) -> str:
    """sha256 (hex) of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load_cached(path: Path) -> np.ndarray | None:
    """The cached array, or None where there is none that can be read (it is then rebuilt)."""
    try:
        found = np.load(path, allow_pickle=False) if path.is_file() else None
    except (OSError, ValueError, EOFError):
        return None
    return found if isinstance(found, np.ndarray) else None


def store_cached(path: Path, array: np.ndarray) -> None:
    """Write under a temporary name and rename, so that no reader sees half a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            np.save(file, array, allow_pickle=False)
        temporary.replace(path)
    except OSError:  # a cache that cannot be written costs time, not correctness
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
