"""Digests of plain values: the same for the same contents, however they are laid out."""

from __future__ import annotations

import hashlib
import json
from typing import Any


def digest_of(document: Any) -> str:
    """sha256 (hex) of a JSON-ready document."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()
