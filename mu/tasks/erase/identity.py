"""What stands for a record in evidence: a keyed digest, which says nothing to who lacks the key.

The bundle holds the digests; the key, and which record each is, stay in the run (``sealed/``).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from dataclasses import dataclass, field

import torch

from mu.data.images import ImageDataset


@dataclass(frozen=True)
class Sealer:
    """Makes the digests of one bundle."""

    key: bytes = field(default_factory=lambda: secrets.token_bytes(32), repr=False)

    def of_sample(self, dataset: ImageDataset, number: int) -> str:
        """HMAC-SHA256 (hex) of a training image: its number, and its file's or pixels' sha256."""
        return self._digest(f"sample {number} {content_digest(dataset, number)}")

    def of_text(self, text: str) -> str:
        """HMAC-SHA256 (hex) of an entry of the request that names no training image."""
        return self._digest(f"entry {text}")

    def of_subject(self, subject: str) -> str:
        """HMAC-SHA256 (hex) of whose records they are."""
        return self._digest(f"subject {subject}")

    def of_list(self, content: bytes) -> str:
        """HMAC-SHA256 (hex) of the request's list; its plain sha256 could be found by trying."""
        return hmac.new(self.key, b"list " + content, "sha256").hexdigest()

    def _digest(self, text: str) -> str:
        return hmac.new(self.key, text.encode(errors="surrogateescape"), "sha256").hexdigest()


def content_digest(dataset: ImageDataset, number: int) -> str:
    """sha256 (hex) of a training image's file; where it has none, of its pixels."""
    if dataset.manifest is not None:
        return dataset.manifest.train.digest(number)
    pixels = dataset.train.fetch(torch.tensor([number]))
    return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()
