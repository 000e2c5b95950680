"""Classes found by name in the files of a package, and other things by their import path.

A method, a pruner or a trigger is a class in a file of its own, which says by which name it is
chosen. Nothing lists them: the files of the package are imported, so they load torch only when they
run. A name is therefore checked, and the nearest one is told, before anything heavy is loaded.
"""

from __future__ import annotations

import gc
import inspect
import pkgutil
from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from importlib import import_module
from types import ModuleType
from typing import Any, ClassVar, Generic, TypeVar

from mu.errors import unknown
from mu.hyperparameters import Hyperparameters


class Registered(Hyperparameters):
    """Settings that are chosen by a name."""

    name: ClassVar[str]  # the registered spelling
    # Other names that lead to the same class, such as those of the paper
    aliases: ClassVar[tuple[str, ...]] = ()


Kind = TypeVar("Kind", bound=Registered)


class Registry(Mapping[str, type[Kind]], Generic[Kind]):
    """The concrete :class:`Registered` classes of a package's files, by name, in their order.

    The files are imported when the registry is first read. Packages below are left out: they hold
    what the files need to run. ``kind``: what the classes are, in messages. ``package``: its full
    name.
    """

    def __init__(self, kind: str, package: str) -> None:
        self._kind, self._package = kind, package

    @cached_property
    def classes(self) -> dict[str, type[Kind]]:
        """The class of each registered name.

        TypeError if a class says no name. ValueError if a name or an alias stands for two classes.
        """
        found = list(classes_of(self._package))
        names = [name for one in found for name in (one.name, *one.aliases)]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            places = [f"{one.__module__}.{one.__name__}" for one in found]
            raise ValueError(f"{twice} is the {self._kind} of two classes in {', '.join(places)}")
        return {one.name: one for one in sorted(found, key=lambda one: one.name)}

    @property
    def aliases(self) -> dict[str, str]:
        """The registered name of each alias."""
        return {alias: name for name, one in self.classes.items() for alias in one.aliases}

    def __getitem__(self, name: str) -> type[Kind]:
        return self.classes[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    def check(self, name: str) -> str:
        """The registered spelling of ``name``, which may be an alias.

        UserError if there is no such name; the message gives the nearest one.
        """
        return self.aliases.get(name) or canonical(self._kind, name, [*self, *self.aliases])

    def find(self, name: str) -> type[Kind]:
        """The class that ``name``, or the alias, stands for; its fields are the settings."""
        return self.classes[self.check(name)]

    def make(self, name: str, settings: Mapping[str, Any] | None = None) -> Kind:
        """The class of ``name`` with these settings.

        UserError if the name or a setting is unknown, or a value is out of range.
        """
        return self.find(name).of(settings or {}, owner=f"{self._kind} {name}")


def classes_of(package: str) -> Iterator[Any]:
    """The concrete registered classes that the modules right below ``package`` define."""
    for found in pkgutil.iter_modules(import_module(package).__path__):
        if not found.ispkg:
            yield from _defined(import_module(f"{package}.{found.name}"))


def _defined(module: ModuleType) -> Iterator[Any]:
    for one in vars(module).values():
        if not inspect.isclass(one) or one.__module__ != module.__name__:
            continue
        if not issubclass(one, Registered) or inspect.isabstract(one):
            continue
        if "name" not in vars(one):
            raise TypeError(f"{module.__name__}.{one.__name__} is chosen by no name; give it one")
        yield one


def canonical(kind: str, name: str, known: Iterable[str]) -> str:
    """``name``, if it is a known one.

    UserError if it is not; the message gives the nearest one.
    """
    names = list(known)
    if name not in names:
        raise unknown(kind, name, names)
    return name


def load(path: str) -> Any:
    """Import what ``"package.module:attribute"`` names.

    With torch and MLflow come half a million objects that stay. The garbage collector would walk
    them again and again while they come, so it waits.
    """
    module, _, attribute = path.partition(":")
    collects = gc.isenabled()
    gc.disable()
    try:
        return getattr(import_module(module), attribute)
    finally:
        if collects:
            gc.enable()
