"""safetensors: tensors by name, and the texts that stand with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mu.readers.documents import read_json

if TYPE_CHECKING:
    from torch import Tensor


def read_tensors(content: bytes) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors by name, on the CPU, and the metadata; a ValueError if the file is damaged."""
    from safetensors.torch import load

    try:
        tensors = load(content)
        # The header is JSON, after eight bytes of its length.
        header = read_json(content[8 : 8 + int.from_bytes(content[:8], "little")])
        return tensors, dict(header.get("__metadata__") or {})
    except Exception as error:  # of the parser, or of torch for a dtype that it lacks
        raise ValueError(str(error)) from error
