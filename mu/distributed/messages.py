"""What processes of one team say to each other, as bytes.

Only pipes between processes that mu itself has started carry these; nothing of it is ever in a
file. Tensors travel as copies on the CPU: torch would have both sides share their memory, and what
one side goes on to train would change under the other's hands.
"""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterable
from multiprocessing.connection import Connection
from multiprocessing.reduction import ForkingPickler
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mu.data.images import Images

PROTOCOL = 5


def send(pipe: Connection, message: Any) -> None:
    """Say something to the process at the other end."""
    held = io.BytesIO()
    _Pickler(held).dump(message)
    pipe.send_bytes(held.getvalue())


def receive(pipe: Connection) -> Any:
    """What was said next.

    Raises
    ------
    EOFError
        If the other end is gone.
    """
    return from_bytes(pipe.recv_bytes())


def from_bytes(content: bytes) -> Any:
    """What :meth:`Copying.of` was given."""
    return ForkingPickler.loads(content)


class Copying:
    """Makes messages that all go to the same processes; these keep images, which are sent once."""

    def __init__(self) -> None:
        self._held: WeakKeyDictionary[Images, int] = WeakKeyDictionary()
        self._numbers = itertools.count()

    def of(self, message: Any) -> bytes:
        """A message in bytes."""
        held = io.BytesIO()
        _Pickler(held, self).dump(message)
        return held.getvalue()

    def held(self) -> list[int]:
        """Numbers of the images that are still of use."""
        return list(self._held.values())

    def number(self, images: Images) -> tuple[int, bool]:
        """The number that the others know these images by, and whether they hold them."""
        if (known := self._held.get(images)) is not None:
            return known, True
        self._held[images] = number = next(self._numbers)
        return number, False


class _Pickler(ForkingPickler):
    """Has tensors copied, and remembers images."""

    def __init__(self, file: io.BytesIO, remembered: Copying | None = None) -> None:
        super().__init__(file, PROTOCOL)
        self._remembered = remembered

    def reducer_override(self, value: Any) -> Any:
        if isinstance(value, nn.Parameter):
            return nn.Parameter, (value.data, value.requires_grad)
        if isinstance(value, Tensor):
            plain = value.detach().cpu().contiguous()
            content = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
            return _tensor, (content, plain.dtype, tuple(plain.shape), value.requires_grad)
        if isinstance(value, Images) and self._remembered is not None:
            number, known = self._remembered.number(value)
            if known:
                return _recalled, (number,)
            return _remembered, (number, value.pixels, value.labels)
        return NotImplemented


_IMAGES: dict[int, Images] = {}  # in a rank: those that were sent, by number


def forget_but(numbers: Iterable[int]) -> None:
    """Let go of all images but those with these numbers."""
    wanted = set(numbers)
    for number in [one for one in _IMAGES if one not in wanted]:
        del _IMAGES[number]


def _remembered(number: int, pixels: Tensor, labels: Tensor) -> Images:
    _IMAGES[number] = Images(pixels, labels)
    return _IMAGES[number]


def _recalled(number: int) -> Images:
    return _IMAGES[number]


def _tensor(content: bytes, dtype: torch.dtype, shape: tuple[int, ...], asks: bool) -> Tensor:
    if not content:
        return torch.empty(shape, dtype=dtype)
    found = torch.frombuffer(bytearray(content), dtype=dtype).reshape(shape)
    return found.requires_grad_(asks)
