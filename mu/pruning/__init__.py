"""Pruning: a small file for each pruner, found by itself; scoring/: what they rank weights by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mu.registry import Registry

if TYPE_CHECKING:
    from mu.pruning.base import Pruner

DEFAULT_PRUNER = "omp"
PRUNERS: Registry[Pruner] = Registry("pruner", __name__)

check_pruner = PRUNERS.check
pruner_class = PRUNERS.find
make_pruner = PRUNERS.make
