"""Which file names are those of images, and which of hidden or service files."""

from __future__ import annotations

import re
from functools import cache

from PIL import Image

# Formats that Pillow knows, but cannot decode itself; for EPS it would start Ghostscript.
UNDECODED = {"BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF"}
# Images of formats that Pillow does not know, so that a class of them does not vanish unseen.
FOREIGN = {
    *(".heic", ".heif", ".jxl", ".svg", ".svgz", ".exr", ".hdr", ".dcm", ".djvu", ".xcf", ".jxr"),
    *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf", ".pef", ".srw", ".raw"),
    *(".eps", ".wmf", ".emf", ".bufr", ".grib"),
}
# Of file managers, storage systems and archivers; compared in lower case.
SERVICE = {
    *("__macosx", "desktop.ini", "thumbs.db", "ehthumbs.db", "ehthumbs_vista.db", "picasa.ini"),
    *("@eadir", "@tmp", "@__thumb", "@recycle", "@recently-snapshot", "@synoresource"),
    *("#recycle", "#snapshot", "$recycle.bin", "recycler", "recycled", "~snapshot"),
    *("lost+found", "system volume information", "thumbnails", "_thumbnails", "_thumbs"),
    *("network trash folder", "temporary items", "icon\r", "__pycache__", "cvs", "_gsdata_"),
}
PAX = re.compile(r"paxheaders?(\.\d+)?")


@cache
def formats() -> tuple[str, ...]:
    """The formats that are decoded, as Pillow calls them; the common ones first."""
    Image.init()
    return tuple(one for one in Image.ID if one not in UNDECODED)


@cache
def suffixes() -> frozenset[str]:
    """Suffixes of the images that are read, in lower case, with the dot."""
    decoded = {*formats(), "MPO"}  # Pillow opens MPO files as JPEG
    return frozenset(suffix for suffix, kind in Image.EXTENSION.items() if kind in decoded)


def suffix(name: str) -> str:
    """The suffix of a path in lower case, with the dot; ``""`` where there is none."""
    stem, dot, end = name.rpartition("/")[2].rpartition(".")
    return f".{end.lower()}" if stem and dot and end else ""


def is_image(name: str) -> bool:
    """Whether a path has the suffix of an image that is read."""
    return suffix(name) in suffixes()


def is_service(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or made by a system for itself."""
    folded = name.lower()
    return name.startswith(".") or folded in SERVICE or PAX.fullmatch(folded) is not None


def shown(name: str) -> str:
    """A path for people: what cannot be printed is escaped."""
    return name if name.isprintable() else repr(name)[1:-1]
