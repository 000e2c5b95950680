"""Each tag has one name in the code, and a line in the docs."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from mu import tags

ROOT = Path(__file__).parents[1]
TAGS = {n: v for n, v in vars(tags).items() if n.isupper() and isinstance(v, str)}
SPELT_OUT = re.compile(rf"(?<![\w./])({'|'.join(map(re.escape, TAGS.values()))})(?![\w.:/])")
NAMES_MODULES = {"mu/tags.py", "mu/__init__.py"}  # mu.data is a package, too


def texts(tree: ast.AST) -> Iterator[str]:
    """All texts in the code but those that stand alone, which are docstrings."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif not (isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)):
            yield from texts(node)


def spelt_out(path: Path) -> set[str]:
    found = map(SPELT_OUT.findall, texts(ast.parse(path.read_text())))
    return {tag for tags_of_text in found for tag in tags_of_text}


def test_a_tag_is_spelt_out_in_one_place() -> None:
    assert spelt_out(ROOT / "mu/tags.py") == set(TAGS.values())
    assert len(set(TAGS.values())) == len(TAGS)
    files = [one for top in ("mu", "entrypoints") for one in (ROOT / top).rglob("*.py")]
    names = {one: str(one.relative_to(ROOT)) for one in files}
    found = {names[one]: spelt_out(one) for one in files if names[one] not in NAMES_MODULES}
    assert not {name: offending for name, offending in found.items() if offending}


def test_the_docs_list_every_tag() -> None:
    line = next(
        one for one in (ROOT / "docs/names.md").read_text().splitlines() if tags.UNLEARNING in one
    )
    assert set(re.findall(r"`(mu\.\w+)`", line)) == set(TAGS.values())
