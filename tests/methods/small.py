"""Settings with which the contract tests run a method, new ones too.

By default that is two epochs. The test file of a method may say otherwise:

SMALL
    Settings with which there is something to do, and to draw, on 108 images.
BLIND
    Of ``forget`` and ``retain`` the parts of which it reads no pixel where its scale is given.
"""

from __future__ import annotations

from typing import Any

from mu.methods import method_class
from mu.methods.stopping import Stopping
from tests.declared import declared


def small(name: str, *, scaled: bool = False) -> dict[str, Any]:
    """Settings of a short run.

    Parameters
    ----------
    scaled
        Whether the scale is given, of methods that would find it by a rule; two epochs do then.
    """
    kind = method_class(name)
    default = {"epochs": 2} if "epochs" in kind.names() else {}
    settings = {**default, **declared(kind, "SMALL", {})}
    if scaled and issubclass(kind, Stopping):
        settings |= {kind.scale[0]: 1e-3} | default
    return settings
