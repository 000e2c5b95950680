"""How a named data set is read, and the defaults that suit it, known before torch is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mu.registry import load

if TYPE_CHECKING:
    from mu.data.images import ImageDataset


@dataclass(frozen=True)
class Source:
    """How a named data set is read, and the defaults that suit it.

    Parameters
    ----------
    read
        Called with ``(data_dir, image_size)``; returns the data set.
    arch
        Default architecture.
    training
        Defaults of the training recipe that differ from the general ones.
    resizes
        Whether ``image_size`` has a meaning for it.
    stream
        Like ``read``, with the number of workers: the images are decoded as they are needed. None
        of sets that are always in memory.
    too_large
        Called like ``read``: whether the images do not fit in memory.
    """

    read: Callable[[Path | None, int | None], ImageDataset]
    arch: str = "resnet18"
    training: Mapping[str, Any] = field(default_factory=dict)
    resizes: bool = False
    stream: Callable[[Path | None, int | None, int], ImageDataset] | None = None
    too_large: Callable[[Path | None, int | None], bool] = lambda _place, _size: False


def in_module(module: str, read: str = "read", *, streams: bool = False, **defaults: Any) -> Source:
    """The source whose functions a module has; it is imported when one of them is called.

    Parameters
    ----------
    module
        Full name of the one that has the function ``read`` and, where it ``streams``, ``stream``
        and ``too_large``.
    defaults
        The other parameters of :class:`Source`.
    """
    if streams:
        defaults["stream"] = partial(called, f"{module}:stream")
        defaults["too_large"] = partial(called, f"{module}:too_large")
    return Source(partial(called, f"{module}:{read}"), **defaults)


def called(path: str, *arguments: Any) -> Any:
    """What the function at an import path returns."""
    return load(path)(*arguments)
