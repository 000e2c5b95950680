"""How a named data set is read, and the defaults that suit it, known before torch is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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
    streams
        Whether its images can be decoded as they are needed. ``read`` is then called with two
        more: whether they are (None: where they do not fit in memory), and by how many workers.
    """

    read: Callable[..., ImageDataset]
    arch: str = "resnet18"
    training: Mapping[str, Any] = field(default_factory=dict)
    resizes: bool = False
    streams: bool = False


def in_module(module: str, read: str = "read", **defaults: Any) -> Source:
    """The source whose function ``read`` a module has; it is imported when that is called.

    Parameters
    ----------
    defaults
        The other parameters of :class:`Source`.
    """
    return Source(partial(called, f"{module}:{read}"), **defaults)


def called(path: str, *arguments: Any) -> Any:
    """What the function at an import path returns."""
    return load(path)(*arguments)
