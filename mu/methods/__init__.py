"""Unlearning methods: a small file for each. Adding one takes that file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mu import registry

if TYPE_CHECKING:
    from mu.methods.base import Method

DEFAULT_METHOD = "l1_sparse"
METHODS = {
    "retrain": "mu.methods.retrain:Retrain",
    "ft": "mu.methods.ft:FineTune",
    "ga": "mu.methods.ga:GradientAscent",
    "ff": "mu.methods.ff:FisherForgetting",
    "iu": "mu.methods.iu:InfluenceUnlearning",
    "l1_sparse": "mu.methods.l1_sparse:L1Sparse",
}
# The names of the paper and of its repository.
ALIASES = {
    "Retrain": "retrain",
    "FT": "ft",
    "GA": "ga",
    "FF": "ff",
    "fisher_new": "ff",
    "IU": "iu",
    "wfisher": "iu",
    "l1-sparse": "l1_sparse",
    "FT_prune": "l1_sparse",
}


def check_method(name: str) -> str:
    """The registered spelling of ``name``, or a :class:`UserError` with the nearest ones."""
    return registry.canonical("method", name, METHODS, ALIASES)


def method_class(name: str) -> type[Method]:
    """The class of the method ``name``; its fields are the method's hyperparameters."""
    found: type[Method] = registry.load(METHODS[check_method(name)])
    return found


def make_method(name: str, settings: Mapping[str, Any] | None = None) -> Method:
    """The method ``name`` with these hyperparameters.

    Raises
    ------
    UserError
        If the method or a hyperparameter is unknown, or a value is out of range.
    """
    return method_class(name).of(settings or {}, owner=f"method {name}")
