"""Triggers of backdoors: a small file for each, found by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mu.registry import Registry

if TYPE_CHECKING:
    from mu.data.triggers.base import Trigger

DEFAULT_TRIGGER = "patch"
TRIGGERS: Registry[Trigger] = Registry("trigger", __name__)

check_trigger = TRIGGERS.check
trigger_class = TRIGGERS.find
make_trigger = TRIGGERS.make
