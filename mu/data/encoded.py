"""Where encoded images are read from, one at a time: a file of images, or a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mu.data.store.reader import ImageStore
from mu.errors import UserError


@dataclass(frozen=True)
class OfStore:
    """A part of a file of images."""

    store: ImageStore
    part: str

    def image(self, number: int) -> bytes:
        """The bytes of an image."""
        return self.store.image(self.part, number)

    def name(self, number: int) -> str:
        """What it is called."""
        return f"{self.part} image {number} of {self.store.path}"


@dataclass(frozen=True)
class OfFolder:
    """Files of a folder, by their relative paths."""

    root: Path
    names: tuple[str, ...]

    def image(self, number: int) -> bytes:
        """The bytes of an image.

        Raises
        ------
        UserError
            If it cannot be read any more.
        """
        try:
            return (self.root / self.names[number]).read_bytes()
        except OSError as error:
            raise UserError(
                f"{self.names[number]!r} in {str(self.root)!r} cannot be read ({error}); the "
                "folder has changed since it was listed"
            ) from error

    def name(self, number: int) -> str:
        """Its path."""
        return self.names[number]
