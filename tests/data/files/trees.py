"""Folders and archives of small real images, made from lists of names."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from mu.data.files.listing import Listing
from mu.data.files.parts import listing_of
from mu.data.files.tree import ImageTree

# What Pillow calls the formats of suffixes that it does not write under the suffix's name.
KINDS = {".tif": "TIFF", ".jfif": "JPEG", ".jpg": "JPEG", ".jpeg": "JPEG", ".pgm": "PPM"}


def image(name: str) -> bytes:
    """A picture of its own for each name, in the format of its suffix."""
    draws = np.random.default_rng(list(os.fsencode(name)))
    pixels = draws.integers(0, 256, (4, 4, 3), np.uint8)
    picture = Image.fromarray(pixels)
    end = Path(name).suffix.lower()
    picture = picture.convert("L") if end == ".pgm" else picture
    stream = io.BytesIO()
    picture.save(stream, KINDS.get(end) or Image.registered_extensions()[end])
    return stream.getvalue()


def content(name: str) -> bytes:
    """An image where the name is one of an image that Pillow writes, else text."""
    known = Path(name).suffix.lower() in {*KINDS, ".png", ".ppm", ".bmp", ".tiff", ".webp", ".gif"}
    return image(name) if known else b"text\n"


def plant(root: Path, names: Iterable[str], links: Mapping[str, str] | None = None) -> Path:
    """Files below ``root``; names that end in a slash are folders; ``links`` by their targets."""
    for name in names:
        path = root / name
        (path if name.endswith("/") else path.parent).mkdir(parents=True, exist_ok=True)
        if not name.endswith("/"):
            path.write_bytes(content(name))
    for name, target in (links or {}).items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).symlink_to(target)
    return root


def tar_of(root: Path, out: Path, top: str = ".") -> Path:
    """The folder as a tar, its links as links."""
    with tarfile.open(out, "w:gz" if out.suffix == ".gz" else "w") as archive:
        archive.add(root, top)
    return out


def zip_of(root: Path, out: Path, top: str = "") -> Path:
    """The folder as a zip, its symbolic links as links."""
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(root.rglob("*")):
            name = f"{top}{path.relative_to(root).as_posix()}"
            if path.is_symlink():
                add_link(archive, name, str(path.readlink()))
            elif path.is_dir():
                archive.mkdir(name)
            else:
                archive.write(path, name)
    return out


def add_link(archive: zipfile.ZipFile, name: str, target: str) -> None:
    """A symbolic link in a zip, as Info-ZIP writes it."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (stat.S_IFLNK | 0o777) << 16
    archive.writestr(info, target)


def listed(root: Path) -> Listing:
    return listing_of(ImageTree(root))


def numbered(count: int, *folders: str, end: str = ".png") -> list[str]:
    """``count`` names of images in each of the folders."""
    return [f"{folder}/{number:02d}{end}" for folder in folders for number in range(count)]


def paths(listing: Listing) -> tuple[list[str], list[str]]:
    return [path for path, _ in listing.train], [path for path, _ in listing.test]
