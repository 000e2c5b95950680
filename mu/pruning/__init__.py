"""Pruning: a small file for each pruner. Adding one takes that file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mu import registry

if TYPE_CHECKING:
    from mu.pruning.base import Pruner

DEFAULT_PRUNER = "omp"
PRUNERS = {
    "omp": "mu.pruning.magnitude:OMP",
    "imp": "mu.pruning.magnitude:IMP",
    "random": "mu.pruning.uniform:Random",
    "snip": "mu.pruning.snip:SNIP",
    "grasp": "mu.pruning.grasp:GraSP",
    "synflow": "mu.pruning.synflow:SynFlow",
    "channel": "mu.pruning.channel:Channel",
}


def check_pruner(name: str) -> str:
    """The registered spelling of ``name``, or a :class:`UserError` with the nearest ones."""
    return registry.canonical("pruner", name, PRUNERS)


def pruner_class(name: str) -> type[Pruner]:
    """The class of the pruner ``name``; its fields are the pruner's settings."""
    found: type[Pruner] = registry.load(PRUNERS[check_pruner(name)])
    return found


def make_pruner(name: str, settings: Mapping[str, Any] | None = None) -> Pruner:
    """The pruner ``name`` with these settings.

    Raises
    ------
    UserError
        If the pruner or a setting is unknown, or a value is out of range.
    """
    return pruner_class(name).of(settings or {}, owner=f"pruner {name}")
