"""Triggers of backdoors: a small file for each. Adding one takes that file and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from mu import registry

if TYPE_CHECKING:
    from mu.data.triggers.base import Trigger

DEFAULT_TRIGGER = "patch"
TRIGGERS = {
    "patch": "mu.data.triggers.patch:Patch",
    "pixel": "mu.data.triggers.pixel:Pixel",
    "blended": "mu.data.triggers.blended:Blended",
    "sinusoidal": "mu.data.triggers.sinusoidal:Sinusoidal",
    "warping": "mu.data.triggers.warping:Warping",
}
# The names of the papers.
ALIASES = {"badnets": "patch", "sig": "sinusoidal", "wanet": "warping"}


def check_trigger(name: str) -> str:
    """The registered spelling of ``name``, or a :class:`UserError` with the nearest ones."""
    return registry.canonical("trigger", name, TRIGGERS, ALIASES)


def trigger_class(name: str) -> type[Trigger]:
    """The class of the trigger ``name``; its fields are the trigger's settings."""
    found: type[Trigger] = registry.load(TRIGGERS[check_trigger(name)])
    return found


def make_trigger(name: str, settings: Mapping[str, Any] | None = None) -> Trigger:
    """The trigger ``name`` with these settings.

    Raises
    ------
    UserError
        If the trigger or a setting is unknown, or a value is out of range.
    """
    return trigger_class(name).of(settings or {}, owner=f"trigger {name}")
