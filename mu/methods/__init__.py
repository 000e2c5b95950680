"""Unlearning methods: a small file for each, found by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mu.registry import Registry

if TYPE_CHECKING:
    from mu.methods.base import Method

DEFAULT_METHOD = "l1_sparse"
ORACLE_METHOD = "retrain"
METHODS: Registry[Method] = Registry("method", __name__)

check_method = METHODS.check
method_class = METHODS.find
make_method = METHODS.make


def unlearning_methods() -> list[str]:
    """Every method that is neither the oracle nor a control, which stands beside each result."""
    from mu.evaluation.controls import CONTROLS  # here, not above: it loads torch

    return [name for name in METHODS if name not in (ORACLE_METHOD, *CONTROLS)]
