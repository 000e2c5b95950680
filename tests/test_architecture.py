"""The plan of the house, held by reading the imports: they point one way."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path

import pytest

from mu.cli import requests
from mu.methods import METHODS

ROOT = Path(__file__).parents[1]
ON_TOP = ("mu.tracking", "mu.report", "mu.cli")
METHOD_PARTS = "mu.methods.steps"


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in ("mu", "entrypoints", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}


@functools.cache  # not when tests are collected: every worker does that
def tree(name: str) -> ast.Module:
    """What a module consists of."""
    return ast.parse(FILES[name].read_text())


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


BLOCKS = (ast.stmt, ast.ExceptHandler, ast.match_case)  # an expression holds no statement


def statements(module: ast.Module) -> Iterator[ast.AST]:
    """Every statement but those under ``if TYPE_CHECKING``: they are never executed."""
    waiting: list[ast.AST] = [module]
    while waiting:
        for child in ast.iter_child_nodes(waiting.pop()):
            if isinstance(child, BLOCKS) and not is_type_checking(child):
                yield child
                waiting.append(child)


@functools.cache
def imports(name: str) -> set[str]:
    """Full names of the modules that a module imports, wherever in its text."""
    found = set()
    for node in statements(tree(name)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name}: relative imports hide where they point"
            assert node.module is not None
            # `from mu.data import digits` may name a module, `from mu.data import source` not.
            full = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {one for one in full if one in FILES} or {node.module}
            found.add(node.module)
    return found


def inside(module: str, *packages: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def importers(*packages: str) -> set[str]:
    """Modules that import one of these packages."""
    return {name for name in FILES if any(inside(one, *packages) for one in imports(name))}


def of(*packages: str) -> list[str]:
    return [name for name in FILES if inside(name, *packages)]


def reaches(start: str) -> set[str]:
    """What a module imports, and what that imports, and so on; of this project."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for found in imports(waiting.pop()):
            if found in FILES and found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


def test_the_reader_of_imports_reads() -> None:
    assert {"mu", "mu.methods.ft", "mu.tracking.store", "entrypoints.prune"} <= set(FILES)
    assert "mu.methods.steps.best" in imports("mu.methods.ft")
    assert "mlflow" in imports("mu.tracking.store")
    assert "mu.masks" in reaches("mu.methods.ft")


def test_only_tracking_knows_mlflow() -> None:
    assert importers("mlflow") <= {*of("mu.tracking")}


def test_only_the_command_line_knows_click() -> None:
    assert importers("click") <= {*of("mu.cli", "entrypoints")}


def test_only_its_engine_knows_ray() -> None:
    assert importers("ray") == {"mu.tasks.sweep.engines.ray"}


def test_nothing_in_mu_imports_the_entry_points() -> None:
    assert not [name for name in importers("entrypoints") if inside(name, "mu")]


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("mu.data", ("mu.training", "mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP)),
        ("mu.models", ("mu.training", "mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP)),
        (
            "mu.fisher",
            ("mu.training", "mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP),
        ),
        (
            "mu.distributed",
            ("mu.models", "mu.training", "mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP),
        ),
        ("mu.training", ("mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP)),
        ("mu.pruning", ("mu.methods", *ON_TOP)),
        ("mu.methods", ON_TOP),
        ("mu.transfer", ("mu.pruning", "mu.methods", "mu.evaluation", *ON_TOP)),
        ("mu.evaluation", ("mu.pruning", "mu.methods", *ON_TOP)),
        ("mu.report", ("mu.methods", "mu.tracking", "mu.cli")),
        ("mu.tracking", ("mu.methods", "mu.report", "mu.cli")),
        ("mu.cli.options", ("mu.methods", "mu.training", "mu.tracking", "mu.report")),
    ],
)
def test_imports_point_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    assert of(package)
    against = {
        name: sorted(one for one in imports(name) if inside(one, *forbidden))
        for name in of(package)
    }
    assert not {name: found for name, found in against.items() if found}


def test_the_library_reaches_neither_tracking_nor_command_line_nor_pages() -> None:
    library = ("distributed", "fisher", "methods", "pruning", "training", "evaluation")
    modules = of(*(f"mu.{name}" for name in library))
    assert len(modules) > len(library)
    found = {name: [one for one in reaches(name) if inside(one, *ON_TOP)] for name in modules}
    assert {name: ones for name, ones in found.items() if ones} == {}


def test_methods_do_not_import_each_other() -> None:
    """What several share stands in a module that defines none."""
    bases = {*of("mu.methods")} - {kind.__module__ for kind in METHODS.values()}
    others = {
        name: {
            one
            for one in imports(name)
            if inside(one, "mu.methods") and not inside(one, METHOD_PARTS)
        }
        - bases
        - {name}
        for name in of("mu.methods")
    }
    assert {name: ones for name, ones in others.items() if ones} == {}


# --- safe by construction -----------------------------------------------------------------


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(tree(name)):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {one.arg: ast.unparse(one.value) for one in call.keywords}


UNPICKLING = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
UNSAFE = ("eval", "exec", "yaml.load", "torch.hub.load")
SAID = {  # what a call must say to be safe
    "torch.load": ("weights_only", "True"),
    **dict.fromkeys(("np.load", "np.save", "numpy.load", "numpy.save"), ("allow_pickle", "False")),
}


def unsafe(called: str, call: ast.Call) -> bool:
    if called not in SAID:
        return called in UNSAFE
    keyword, value = SAID[called]
    return keywords(call).get(keyword) != value


def test_nothing_is_unpickled() -> None:
    assert importers(*UNPICKLING) == set()
    places = [(name, called, call) for name in FILES for called, call in calls(name)]
    assert {called for _, called, _ in places} >= {"torch.load", "np.load", "np.save"}
    found = [(name, call.lineno, called) for name, called, call in places if unsafe(called, call)]
    assert found == []


def careless(node: ast.AST) -> bool:
    """A device taken without asking, a bare ``except``, or a star import."""
    if isinstance(node, ast.Call):
        return ast.unparse(node.func).endswith(".cuda")
    if isinstance(node, ast.ExceptHandler):
        return node.type is None
    return isinstance(node, ast.ImportFrom) and node.names[0].name == "*"


def test_no_device_is_taken_without_asking_and_no_error_swallowed_unseen() -> None:
    found = [
        (name, ast.unparse(node).splitlines()[0])
        for name in FILES
        for node in ast.walk(tree(name))
        if careless(node)
    ]
    assert found == []


@pytest.mark.slow
def test_the_library_works_without_mlflow() -> None:
    code = "import mu; mu.train_original, mu.make_method, mu.evaluate, mu.forget_split, mu.Run"
    script = f"import sys\n{code}\nsys.exit('mlflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=False).returncode == 0


# Options that are handed on as a mapping, by name, and not one by one.
HANDED_ON = {
    "ForgetOptions", "ImportOptions", "ModelOptions", "OriginalOptions", "StatedAttack",
    "TrustOptions", "EraseOptions.kind", "TuneOptions.prune_run_id", "TuneOptions.stage",
}  # fmt: skip


def test_every_option_is_read_where_its_entry_is_performed() -> None:
    """An option that nothing reads any more was lost on its way: its value changes nothing."""
    names, attributes = {}, {}
    for module in set(FILES) - {"mu.cli.requests"}:
        nodes = [*ast.walk(tree(module))]
        names[module] = {one.id for one in nodes if isinstance(one, ast.Name)}
        attributes[module] = {one.attr for one in nodes if isinstance(one, ast.Attribute)}
    unread = set()
    for name, options in vars(requests).items():
        if not (is_dataclass(options) and options.__module__ == requests.__name__):
            continue
        users = [attributes[one] for one, used in names.items() if name in used]
        unread |= {
            name if name in HANDED_ON else f"{name}.{one.name}"
            for one in fields(options)
            if not any(one.name in read for read in users)
        }
    assert unread == HANDED_ON
