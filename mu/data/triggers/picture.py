"""Image: a picture from a file, such as a trigger that was found, laid over the image.

Where the file has an alpha channel, it blends: 0 leaves the image as it is, 255 replaces it.

References
----------
Chen, Liu, Li, Lu & Song (2017), Targeted Backdoor Attacks on Deep Learning Systems Using Data
Poisoning, arXiv:1712.05526, blended injection and accessories.
"""

from __future__ import annotations

import hashlib
import io
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mu.data.triggers.base import Shape, change_exactly
from mu.data.triggers.placed import Placed, Size
from mu.errors import UserError
from mu.hyperparameters import setting
from mu.readers.paths import checked_path

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

MOST_BYTES = 2**24


@dataclass(frozen=True)
class Picture(Placed):
    """``(1 - alpha) * image + alpha * picture`` where the picture lies.

    It is placed as it is, unless it is larger than the images, or ``size`` is given.
    """

    name = "image"

    image: str | None = setting(None, help="the file: PNG or another; alpha blends")
    size: int | None = setting(
        None,
        help="pixels of its longer side, to which it is resized; by default it stays as it is, or "
        "is resized to the images if it is larger than they are",
        low=1,
    )
    sha256: str | None = setting(
        None, help="of the file; another one is refused (default: that of the file when it is used)"
    )

    def sized(self, shape: Shape) -> Self:
        """See :meth:`Trigger.sized`; also fixes the file's sha256."""
        return self.replace(image=str(self._file.resolve()), sha256=self._read[1])

    def in_words(self, shape: Shape) -> str:
        """See :meth:`Trigger.in_words`; whether it is resized."""
        (height, width), (high, wide) = self.covered(shape), self._size
        kept = (height, width) == (high, wide)
        how = "as it is" if kept else f"resized from {wide}x{high}"
        row, column = self.corner(shape[1:], (height, width))
        alpha = ", opaque" if self._alpha[0] == 255 else ""
        place = f"{column} pixels from the left, {row} from the top"
        return f"{self._file.name}{alpha} ({width}x{height} pixels, {how}; {place})"

    def covered(self, shape: Shape) -> Size:
        """Height and width of the picture on images of this shape."""
        high, wide = self._size
        if self.size is not None:
            scale = self.size / max(high, wide)
            return max(1, round(high * scale)), max(1, round(wide * scale))
        larger = high > shape[1] or wide > shape[2]
        return shape[1:] if larger else (high, wide)

    def check(self, shape: Shape) -> None:
        """See :meth:`Trigger.check`; the file must be there, and fit."""
        height, width = shape[1:]
        covered = self.covered(shape)
        if not self.fits((height, width), covered):
            said = {"size": self.size, **self.placing()}.items()
            given = " with ".join(f"trigger_{n}={v}" for n, v in said if v is not None)
            raise UserError(
                f"{given}: the picture would be {covered[1]}x{covered[0]} pixels, and lie outside "
                f"the {width}x{height} images; give smaller numbers"
            )
        if self._alpha[1] == 0:
            raise UserError(f"trigger_image={self.image!r}: all of it is transparent (alpha 0)")

    def _applied(self, pixels: Tensor, shape: Shape) -> Tensor:
        import numpy as np
        import torch

        rows, columns = self.covered(shape)
        top, left = self.corner(shape[1:], (rows, columns))
        shown = self._picture.resize((columns, rows))  # bicubic; alpha is taken into account
        kind = "RGB" if shape[0] == 3 else "L"  # of other images every channel gets the grey
        colours = torch.from_numpy(np.array(shown.convert("RGB").convert(kind))).double()
        alpha = torch.from_numpy(np.array(shown.getchannel("A"))).double() / 255
        added = (colours.permute(2, 0, 1) if kind == "RGB" else colours) * alpha

        def lay(some: Tensor) -> Tensor:
            part = some[..., top : top + rows, left : left + columns]
            part.mul_(1 - alpha).add_(added)
            return some

        return change_exactly(pixels, lay)

    @property
    def _file(self) -> Path:
        if self.image is None:
            raise UserError("trigger=image needs the picture: give trigger_image=FILE.png")
        return checked_path("trigger_image", self.image)

    @cached_property
    def _read(self) -> tuple[bytes, str]:
        """The file and its sha256, which must be the one given, if one is."""
        file = self._file
        if not file.is_file():
            raise UserError(f"trigger_image={str(file)!r}: there is no such file")
        if file.stat().st_size > MOST_BYTES:
            raise UserError(f"trigger_image={str(file)!r} has more than 16 MiB; give a smaller one")
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if self.sha256 not in (None, digest):
            raise UserError(
                f"trigger_image={str(file)!r} is another file than before (sha256 "
                f"{digest[:16]}..., not {str(self.sha256)[:16]}...); restore it"
            )
        return content, digest

    @cached_property
    def _picture(self) -> Image:
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", Image.DecompressionBombWarning)
                with Image.open(io.BytesIO(self._read[0])) as picture:
                    return picture.convert("RGBA")
        except (OSError, ValueError, SyntaxError, Image.DecompressionBombError, Warning) as error:
            raise UserError(
                f"trigger_image={self.image!r} cannot be read as an image ({error}); give a PNG"
            ) from error

    @property
    def _size(self) -> Size:
        return self._picture.height, self._picture.width

    @property
    def _alpha(self) -> tuple[int, int]:
        """The lowest and the highest alpha, 0-255."""
        values = self._picture.getchannel("A").tobytes()
        return min(values), max(values)
