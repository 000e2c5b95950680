"""What the test file of a method, pruner or trigger says of it: so no list names them all."""

from __future__ import annotations

from importlib import import_module
from typing import Any


def declared(kind: type, constant: str, default: Any) -> Any:
    """A constant of ``tests/methods/test_ga.py`` for the class in ``mu/methods/ga.py``, and so on.

    The contract tests run over all registered classes, new ones too. Where one of them differs from
    the rest, its test file says so.
    """
    package, _, file = kind.__module__.rpartition(".")
    module = import_module(f"tests.{package.removeprefix('mu.')}.test_{file}")
    return getattr(module, constant, default)
