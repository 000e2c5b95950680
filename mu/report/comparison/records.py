"""The names that comparisons use of :mod:`mu.run_record` and :mod:`mu.alike`."""

from typing import Any

from mu.alike import canonical, canonical_items
from mu.run_record import RunRecord, Seeds
from mu.tags import ORACLE as ORACLE_TAG

SeedRun = RunRecord
ORACLE_METHOD = "retrain"
UPSTREAM = "upstream"  # the usual oracle's `mask_from`


def same_setting(one: Any, other: Any) -> bool:
    """Whether two values mean the same."""
    return canonical(one) == canonical(other)


__all__ = [
    "ORACLE_METHOD", "ORACLE_TAG", "UPSTREAM", "SeedRun", "Seeds", "canonical", "canonical_items",
    "same_setting",
]  # fmt: skip
