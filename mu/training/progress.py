"""Resuming: everything that a training needs to go on after a finished epoch, in one file.

Random generators are not in it: in mu each is made from a seed and its purpose (the order of one
epoch, the draws of one epoch), so the epoch's number says where they stand. The same holds for
the schedule, which is a function of time.

A file is written to a temporary name and renamed, and its own name carries its sha256; so a
process may die at any moment, and a file that was cut short is never taken for a whole one.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from mu.errors import UserError
from mu.readers.documents import read_json

if TYPE_CHECKING:
    from torch import Tensor

    from mu.masks import Mask
    from mu.runs import Record

FOLDER = "resume"
KEPT_FILES = 2  # the newest, and the one before it in case the newest is damaged
_FORMAT = "mu.resume/1"
_NAME = re.compile(r"round-(\d{3,})-epoch-(\d{6,})-([0-9a-f]{16})\.safetensors")
_GROUPS = ("weights", "optimizer", "rewind", "mask")  # tensors; the rest is in the header
_NUMBERS = ("round", "epoch", "records", "notes", "samples_seen", "seconds")


@dataclass(frozen=True)
class Progress:
    """Where a training stands after a finished epoch."""

    round: int  # 0 trains the dense network
    epoch: int  # epochs of the schedule that are behind
    weights: Mapping[str, Tensor]  # state dict of the network now
    optimizer: Mapping[str, Tensor]  # see :func:`mu.training.optimizers.optimizer_state`
    rewind: Mapping[str, Tensor]  # state dict of the epoch to rewind to; empty until then
    mask: Mask
    # What the run has logged and spent so far.
    records: list[Record] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    samples_seen: int = 0
    seconds: float = 0.0

    def to_bytes(self, about: Mapping[str, Any]) -> bytes:
        """The file's content.

        ``about``: JSON-ready: what is being made, for whoever goes on with it.
        """
        from safetensors.torch import save

        from mu.tensors import plain

        groups = {name: getattr(self, name) for name in _GROUPS} | {"mask": self.mask.packed()}
        tensors = {f"{group}:{n}": t for group, part in groups.items() for n, t in part.items()}
        header = {name: getattr(self, name) for name in _NUMBERS}
        header |= {"shapes": {name: list(self.mask[name].shape) for name in self.mask}}
        header |= {"about": about}
        return save(plain(tensors), metadata={_FORMAT: json.dumps(header)})

    @classmethod
    def from_bytes(cls, content: bytes) -> tuple[Progress, dict[str, Any]]:
        """Read what :meth:`to_bytes` wrote: the progress, and what it is about.

        UserError if the content is of another kind.
        """
        from mu.masks import Mask
        from mu.readers.tensors import read_tensors
        from mu.runs import Record

        try:
            tensors, meta = read_tensors(content)
            header = read_json(meta[_FORMAT])
            groups: dict[str, Any] = {group: {} for group in _GROUPS}
            for full_name, tensor in tensors.items():
                group, _, name = full_name.partition(":")
                groups[group][name] = tensor
            header["records"] = [Record(*one) for one in header["records"]]
            groups["mask"] = Mask.from_packed(groups["mask"], header["shapes"])
            progress = cls(**groups, **{name: header[name] for name in _NUMBERS})
            return progress, dict(header["about"])
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise UserError(f"it is no progress of a training of mu: {error!r}") from error


class Checkpointer(Protocol):
    """Keeps the progress of a training somewhere, and finds it again."""

    def save(self, progress: Progress) -> None:
        """Keep it, in place of an earlier one."""

    def last(self) -> Progress | None:
        """The newest that was kept and is whole, or None."""


def file_name(progress: Progress, content: bytes) -> str:
    """The name of a progress file: round, epoch and the first digits of its sha256."""
    digest = hashlib.sha256(content).hexdigest()[:16]
    return f"round-{progress.round:03}-epoch-{progress.epoch:06}-{digest}.safetensors"


def progress_files(folder: Path) -> list[Path]:
    """The progress files in a folder, oldest first; none where there is no folder."""
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if is_progress(one.name))


def remove_older(folder: Path) -> None:
    """Remove progress files but the newest, and what killed processes left half written."""
    half = re.compile(rf"\.{_NAME.pattern}\.\d+")  # the temporary names of :func:`write_whole`
    for path in folder.iterdir():
        if half.fullmatch(path.name):
            path.unlink()
    for path in progress_files(folder)[:-KEPT_FILES]:
        path.unlink()


def is_progress(name: str) -> bool:
    """Whether a file of that name holds progress."""
    return _NAME.fullmatch(name) is not None


def read_newest(folder: Path) -> tuple[Progress, dict[str, Any]]:
    """The newest whole progress in a folder, and what it is about.

    UserError if there is none, or all of it is damaged.
    """
    files = progress_files(folder)
    for path in reversed(files):
        content = path.read_bytes()
        found = _NAME.fullmatch(path.name)
        if found and hashlib.sha256(content).hexdigest().startswith(found[3]):
            return Progress.from_bytes(content)
    if not files:
        raise UserError("no epoch of it was finished; start it anew")
    raise UserError(
        f"{', '.join(one.name for one in files)}: damaged, the sha256 is not the one in the name; "
        "start the training anew"
    )


def write_whole(path: Path, content: bytes) -> None:
    """Write a file so that it is there whole or not at all, even if power fails or a disk is full.

    On any error nothing is left of it.
    """
    waiting = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with waiting.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        waiting.replace(path)
    except BaseException:
        waiting.unlink(missing_ok=True)
        raise
