"""No module imports itself by way of others: not at the top, in functions, or for types alone."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

ROOT = Path(__file__).parents[1]
Graph = Mapping[str, set[str]]


def modules() -> dict[str, Path]:
    """Every module of mu and of the entry points, by its name."""
    found = {}
    for path in [*(ROOT / "mu").rglob("*.py"), *(ROOT / "entrypoints").rglob("*.py")]:
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(text: str, known: Mapping[str, object]) -> set[str]:
    """The known modules that a module imports, wherever in its text.

    Also those that it names as an import path (``"mu.tasks.prune:prune"``).
    """
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide where they point"
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            # `from mu.data import digits` names a module, `from mu.data import load_data` not.
            found |= (full & known.keys()) or {str(node.module)}
            if not full <= known.keys():
                found.add(str(node.module))
    return found & known.keys()


@functools.cache
def graph() -> dict[str, set[str]]:
    known = modules()
    return {name: imports(path.read_text(), known) - {name} for name, path in known.items()}


def circles(graph: Graph) -> Iterator[list[str]]:
    """Groups of two and more nodes that reach each other (Tarjan's strong components)."""
    number: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(node: str) -> Iterator[list[str]]:
        number[node] = lowest[node] = len(number)
        stack.append(node)
        for other in sorted(graph[node]):
            if other not in number:
                yield from visit(other)
                lowest[node] = min(lowest[node], lowest[other])
            elif other in stack:
                lowest[node] = min(lowest[node], number[other])
        if lowest[node] == number[node]:
            group = stack[stack.index(node) :]
            del stack[stack.index(node) :]
            if len(group) > 1:
                yield sorted(group)

    for node in sorted(graph):
        if node not in number:
            yield from visit(node)


def test_circles_are_found() -> None:
    assert list(circles({"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": set()})) == [["a", "b", "c"]]
    assert not list(circles({"a": {"b", "c"}, "b": {"c"}, "c": set()}))
    inner = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import mu.b\n"
    inner += "def f():\n    from mu import c\n"
    assert imports(inner, {"mu": 0, "mu.b": 0, "mu.c": 0}) == {"mu.b", "mu.c"}


def test_no_modules_import_each_other() -> None:
    assert list(circles(graph())) == []


def room(name: str) -> str:
    """The folder of mu that a module is in, or the module itself where it is in none."""
    parts = name.split(".")
    if parts[0] == "entrypoints" or len(parts) < 2:
        return parts[0]
    return ".".join(parts[:2])


def test_no_folders_of_mu_import_each_other() -> None:
    rooms: dict[str, set[str]] = {}
    for name, others in graph().items():
        if name != "mu":  # the package itself offers names of everywhere
            rooms.setdefault(room(name), set()).update(map(room, others))
    own = {one: {o for o in others if o != one and o != "mu"} for one, others in rooms.items()}
    assert list(circles(own)) == []


def test_nothing_imports_the_entry_points() -> None:
    found = graph()
    assert not [
        name for name, others in found.items() for one in others if room(one) == "entrypoints"
    ]
