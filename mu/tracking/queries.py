"""MLflow's filter strings, built from the names of tags."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

FINISHED: Final = "attributes.status = 'FINISHED'"
UNFINISHED: Final = "attributes.status != 'FINISHED'"
RUNNING: Final = "attributes.status = 'RUNNING'"


def matching(tags: Mapping[str, str], *conditions: str) -> str:
    """The filter of runs that have these tags and meet all further conditions."""
    return " and ".join(
        [*(f"tags.`{name}` = '{value}'" for name, value in tags.items()), *conditions]
    )
