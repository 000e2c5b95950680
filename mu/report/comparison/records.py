"""What is known of a finished unlearn run, once it was read: seeds, settings, numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

ORACLE_METHOD = "retrain"
ORACLE_TAG = "mu.oracle"  # the run that a run was measured against
UPSTREAM = "upstream"  # the usual oracle's `mask_from`
LONGEST_NUMBER = 12  # letters; longer texts are words, such as fingerprints of digits alone
_ABSENT = ("none", "None", None)


class Seeds(NamedTuple):
    """The three seeds that an unlearned model depends on."""

    split: int
    training: int
    unlearning: int

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in self._asdict().items())


@dataclass(frozen=True)
class SeedRun:
    """A finished unlearn run: its seeds, what else it depends on, and its numbers.

    Parameters
    ----------
    settings
        Hyperparameters of the method, as logged.
    original
        Everything but seeds that the original depends on, data included.
    forget
        What to forget, as it was asked for; an index file by its contents.
    name
        Of the run; whoever may write to the store may have chosen it.
    url
        Of the run's page; empty where it is not known.
    started
        Milliseconds since 1970, to tell the newer of two runs.
    sparsity
        Of the original, 0-100 %; None where it is not known.
    original_mask
        Fingerprint of the original's mask, where it is known.
    """

    run_id: str
    method: str
    settings: Mapping[str, str]
    original: Mapping[str, Any]
    forget: str
    seeds: Seeds
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    name: str = ""
    url: str = ""
    started: int = 0
    sparsity: float | None = None
    original_mask: str | None = None

    @property
    def is_oracle(self) -> bool:
        """Whether other methods are judged against it."""
        return self.method == ORACLE_METHOD

    @property
    def oracle_run_id(self) -> str | None:
        """The oracle that it was measured against."""
        return self.tags.get(ORACLE_TAG)

    @property
    def age(self) -> tuple[int, str]:
        """Orders runs from the oldest to the newest, always in the same way."""
        return self.started, self.run_id


def same_setting(one: Any, other: Any) -> bool:
    """Whether two values mean the same; MLflow's launcher logs 0.10 as it was typed."""
    if one == other:
        return True
    try:
        return float(one) == float(other)
    except (TypeError, ValueError):
        return False


def canonical(value: Any) -> str:
    """The same text for values that mean the same, as :func:`same_setting` says."""
    text = str(value)
    if text.lower() in ("true", "false"):
        return text.lower()
    if len(text) > LONGEST_NUMBER and isinstance(value, str):
        return text
    try:
        number = float(value)
    except (TypeError, ValueError):
        return text
    return f"{number:.12g}" if math.isfinite(number) else text


def canonical_items(settings: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """Settings as a key: in one order and one spelling, without those that are not set."""
    return tuple(sorted((n, canonical(v)) for n, v in settings.items() if v not in _ABSENT))
