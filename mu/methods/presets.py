"""Published settings by name: what a method's paper, or the code of its authors, ran it with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from mu.errors import unknown
from mu.hyperparameters import setting
from mu.methods.base import Method


class Published(NamedTuple):
    """A value, and where it is published."""

    value: Any
    source: str


Preset = Mapping[str, Published]
UNLEARN_SPARSE = "Unlearn-Sparse: README, Jia et al. (2023)"


def published(source: str, **values: Any) -> dict[str, Published]:
    """Values that are published in one place."""
    return {name: Published(value, source) for name, value in values.items()}


@dataclass(frozen=True)
class Presets(Method):
    """A method with settings that others ran it with; what is given beside a preset counts."""

    presets: ClassVar[Mapping[str, Preset]]

    preset: str | None = setting(
        None, help="published settings in place of the rule, by name: docs/methods.md lists them"
    )

    @classmethod
    def of(cls, values: Mapping[str, Any], *, owner: str | None = None) -> Self:
        """See :meth:`Hyperparameters.of`; settings of the preset stand for those not given."""
        given, chosen = cls.renamed(values), values.get("preset")
        if chosen is None:
            return super().of(given, owner=owner)
        if chosen not in cls.presets:
            raise unknown(f"preset of {owner or cls.__name__}", str(chosen), [*cls.presets])
        return super().of({**cls.preset_values(chosen), **given}, owner=owner)

    def identity(self) -> dict[str, Any]:
        """See :meth:`Method.identity`; it is its values that make it, not where they are from."""
        found = super().identity()
        del found["preset"]
        return found

    @classmethod
    def preset_values(cls, name: str) -> dict[str, Any]:
        """The settings of a preset, without their sources."""
        return {key: one.value for key, one in cls.presets[name].items()}
