"""JSON and YAML, of plain values and of a depth and size that a person could have meant."""

from __future__ import annotations

import json
from collections.abc import Hashable
from typing import Any

import yaml

DEEPEST = 32  # mappings and lists inside each other
MOST_LETTERS = 2**18  # of a YAML file; its parser takes seconds for these
MOST_DIGITS = 100  # of a number in YAML; `1:1:1` is one, and takes ever longer to work out
MOST_NODES = 100_000  # values of a YAML file, those behind an alias counted each time


def read_json(content: bytes | str) -> Any:
    """What a JSON document holds; a ValueError if it is none, or nested too deeply."""
    try:
        found = json.loads(content)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    layer: list[Any] = [[found]]
    for _ in range(DEEPEST + 1):
        inside = (one.values() if isinstance(one, dict) else one for one in layer)
        layer = [one for values in inside for one in values if isinstance(one, dict | list)]
        if not layer:
            return found
    raise ValueError(_TOO_DEEP)


_TOO_DEEP = f"more than {DEEPEST} lists or objects are nested"


def read_yaml(text: str) -> Any:
    """What a YAML document holds: mappings, lists, texts, numbers, true, false and null.

    A ValueError if it is no YAML, a key stands twice (YAML takes the last), or it holds a value of
    another kind. Dates are texts.
    """
    if len(text) > MOST_LETTERS:
        raise ValueError(f"it has {len(text):,} letters; {MOST_LETTERS:,} are the most")
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ValueError(f"{error.problem}{line}") from error
    except (yaml.YAMLError, OverflowError) as error:
        raise ValueError(str(error)) from error


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, for plain values only, and not for more of them than is sensible."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._nodes = self._depth = 0
        self._sizes: dict[int, int] = {}  # nodes in a node, itself included

    def compose_node(self, parent: Any, index: Any) -> Any:
        before, is_alias = self._nodes, self.check_event(yaml.AliasEvent)
        self._depth += 1
        if self._depth > DEEPEST:
            raise ValueError(_TOO_DEEP)
        node: Any = super().compose_node(parent, index)
        self._depth -= 1
        if is_alias and id(node) not in self._sizes:
            raise ValueError("what an anchor names holds itself")
        if node.tag in _NUMBERS and len(node.value) > MOST_DIGITS:
            raise ValueError(f"it holds a number of {len(node.value):,} digits")
        self._nodes += self._sizes[id(node)] if is_alias else 1
        self._sizes.setdefault(id(node), self._nodes - before)
        if self._nodes > MOST_NODES:
            raise ValueError(f"it holds more than {MOST_NODES:,} values")
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Any] = set()
        for inner, _ in node.value:
            key = self.construct_object(inner, deep=True)
            if isinstance(key, Hashable) and key in seen:
                line = inner.start_mark.line + 1
                raise ValueError(f"it has {key!r} twice, the second time in line {line}")
            if isinstance(key, Hashable):  # else the loader says so itself
                seen.add(key)
        return super().construct_mapping(node, deep)


_PLAIN = {f"tag:yaml.org,2002:{name}" for name in ("null", "bool", "int", "float", "str")}
_NUMBERS = {f"tag:yaml.org,2002:{name}" for name in ("int", "float")}
_KINDS = _PLAIN | {"tag:yaml.org,2002:seq", "tag:yaml.org,2002:map"}
_Loader.yaml_constructors = {
    tag: one for tag, one in yaml.SafeLoader.yaml_constructors.items() if tag in {*_KINDS, None}
}
_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag in _PLAIN]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
