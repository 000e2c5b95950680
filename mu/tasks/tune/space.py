"""What is searched: settings of a method, each with a range or a list of values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from mu.cli.options import Group
from mu.errors import UserError, unknown
from mu.hyperparameters import base_type
from mu.methods.base import Method
from mu.methods.stopping import Stopping
from mu.tasks.sweep.plan import typed

DECADE = 10  # a range that spans as much is searched on a log scale


@dataclass(frozen=True)
class Axis:
    """One setting that is searched.

    ``values``: of which one is taken; empty of a range. ``low`` and ``high``: the range, both
    included; of a setting that counts, integers.
    """

    name: str
    values: tuple[Any, ...] = ()
    low: float = 0.0
    high: float = 0.0

    @property
    def is_log(self) -> bool:
        """Whether factors matter in the range, and not differences."""
        return self.low > 0 and self.high >= DECADE * self.low

    def holds(self, value: Any) -> bool:
        """Whether the value lies in it."""
        if self.values:
            return value in self.values
        return value is not None and self.low <= value <= self.high

    def __str__(self) -> str:
        if self.values:
            return f"{self.name}={','.join(map(word, self.values))}"
        scale = " (log)" if self.is_log else ""
        return f"{self.name}={word(self.low)}:{word(self.high)}{scale}"


def word(value: Any, *, exact: bool = False) -> str:
    """A value as it is typed; ``exact``: with all of its digits."""
    if value is None or isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) and not exact else str(value)


def axes_of(kind: type[Method], given: Mapping[str, Any], text: str | None) -> tuple[Axis, ...]:
    """The settings of a method that are searched.

    ``given``: settings that are fixed. ``text``: what to search, as it was typed; None for every
    setting that has a range and is not given. UserError if there is nothing to search, or a name,
    range or value is wrong.
    """
    ranges = {one.name: one.metadata["search"] for one in fields(kind) if "search" in one.metadata}
    if text is not None:
        return _check_scales(kind, given, tuple(_typed_axes(kind, given, text, ranges)))
    fixed = {*given}
    if issubclass(kind, Stopping) and any(given.get(name) is not None for name in kind.scale):
        fixed |= {*kind.scale}  # another one that says how far to go would have no effect
    found = tuple(Axis(n, (), *bounds) for n, bounds in ranges.items() if n not in fixed)
    if not found:
        here = " or ".join(sorted(fixed & {*ranges}))
        remedy = f"leave out {here}, or give search" if here else "give search, or another method"
        raise UserError(f"method={kind.name} has no setting to search; {remedy}")
    return found


def _check_scales(
    kind: type[Method], given: Mapping[str, Any], axes: tuple[Axis, ...]
) -> tuple[Axis, ...]:
    """The axes; refuses two settings that say how far to go, of which one would have no effect."""
    scales = kind.scale if issubclass(kind, Stopping) else ()
    named = [one.name for one in axes] + [n for n, value in given.items() if value is not None]
    if len(both := [name for name in scales if name in named]) > 1:
        raise UserError(f"{' and '.join(both)} both say how far to go; leave one of them out")
    return axes


def _typed_axes(
    kind: type[Method],
    given: Mapping[str, Any],
    text: str,
    ranges: Mapping[str, tuple[float, float]],
) -> Iterator[Axis]:
    """What ``lr=0.001:0.1 l1_strength=0.1,1,10`` says."""
    if not text.split():
        raise UserError(f"search={text!r} names no setting; write lr=0.001:0.1, or leave it out")
    seen: set[str] = set()
    for one in text.split():
        typed_name, _, rest = one.partition("=")
        name = next(iter(kind.renamed({typed_name: None})))
        if name not in kind.names():
            raise unknown(f"setting of method {kind.name}", name, kind.names())
        if name in seen or name in given:
            how = "named twice" if name in seen else f"given as {name}={word(given[name])}, too"
            raise UserError(f"search={text!r}: {name} is {how}; leave one of them out")
        seen.add(name)
        if rest:
            yield _axis(kind, name, rest)
        elif name in ranges:
            yield Axis(name, (), *ranges[name])
        else:
            raise UserError(f"search={text!r}: {name} has no default range; write {name}=LOW:HIGH")


def _axis(kind: type[Method], name: str, text: str) -> Axis:
    """A range or a list of values, each checked as an option of the method is."""
    is_range = ":" in text and base_type(get_type_hints(kind)[name]) in (int, float)
    words = text.split(":" if is_range else ",")
    owner = f"method {kind.name}"
    values = [typed(owner, [Group(kind)], {name: one})[name] for one in words]
    if not is_range:
        if len(set(values)) < len(values):
            raise UserError(f"search: {name}={text} names a value twice; once is enough")
        return Axis(name, tuple(values))
    if len(values) != 2 or None in values or not values[0] < values[1]:
        raise UserError(f"search: {name}={text} is no range; write {name}=LOW:HIGH")
    return Axis(name, (), *values)
