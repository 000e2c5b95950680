"""Transfer: a network trained on for other data, its source, with a new head.

What is trained and how by default stands here; the command line reads it before torch is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

# Targets are small next to sources, so batches are, too: an epoch is to have some steps.
_BOTH = {"epochs": 20, "batch_size": 32, "schedule": "cosine"}

# What is trained, and the settings of the training that differ from the general ones.
TUNES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "head": {**_BOTH, "lr": 0.1},
        "all": {**_BOTH, "lr": 0.01},
    }
)
# Trained as a whole, a network learns again what it has forgotten, as far as the target asks for
# it; behind frozen features, what is compared is the features alone.
DEFAULT_TUNE = "head"
