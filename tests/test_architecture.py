"""The plan of the house, held by reading the imports: they point one way."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ON_TOP = ("mu.tracking", "mu.report", "mu.cli")
METHOD_BASES = {"mu.methods", "mu.methods.base", "mu.methods.fine_tuning", "mu.methods.reach"}


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {
    module_name(path): path
    for folder in ("mu", "entrypoints", "benchmarks")
    for path in sorted((ROOT / folder).rglob("*.py"))
}
TREES = {name: ast.parse(path.read_text()) for name, path in FILES.items()}


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def statements(tree: ast.AST) -> Iterator[ast.AST]:
    """Every node but those under ``if TYPE_CHECKING``: they are never executed."""
    for child in ast.iter_child_nodes(tree):
        if not is_type_checking(child):
            yield child
            yield from statements(child)


def imports(name: str) -> set[str]:
    """Full names of the modules that a module imports, wherever in its text."""
    found = set()
    for node in statements(TREES[name]):
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


IMPORTS = {name: imports(name) for name in FILES}


def inside(module: str, *packages: str) -> bool:
    return any(module == one or module.startswith(f"{one}.") for one in packages)


def importers(*packages: str) -> set[str]:
    """Modules that import one of these packages."""
    return {name for name, found in IMPORTS.items() if any(inside(one, *packages) for one in found)}


def of(*packages: str) -> list[str]:
    return [name for name in FILES if inside(name, *packages)]


def reaches(start: str) -> set[str]:
    """What a module imports, and what that imports, and so on; of this project."""
    seen: set[str] = set()
    waiting = [start]
    while waiting:
        for found in IMPORTS.get(waiting.pop(), ()):
            if found in FILES and found not in seen:
                seen.add(found)
                waiting.append(found)
    return seen


def test_the_reader_of_imports_reads() -> None:
    assert {"mu", "mu.methods.ft", "mu.tracking.store", "entrypoints.prune"} <= set(FILES)
    assert "mu.training.resumable" in IMPORTS["mu.methods.ft"]
    assert "mlflow" in IMPORTS["mu.tracking.store"]
    assert "mu.masks" in reaches("mu.methods.ft")


def test_only_tracking_knows_mlflow() -> None:
    assert importers("mlflow") <= {*of("mu.tracking")}


def test_only_the_command_line_knows_click() -> None:
    assert importers("click") <= {*of("mu.cli", "entrypoints")}


def test_only_its_engine_knows_ray() -> None:
    assert importers("ray") == {"mu.sweep.engines.ray"}


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
        (
            "mu.sweep",
            ("mu.training", "mu.pruning", "mu.methods", "mu.evaluation", "mu.data", *ON_TOP),
        ),
        ("mu.cli.options", ("mu.methods", "mu.training", "mu.tracking", "mu.report")),
    ],
)
def test_imports_point_one_way(package: str, forbidden: tuple[str, ...]) -> None:
    assert of(package)
    against = {
        name: sorted(one for one in IMPORTS[name] if inside(one, *forbidden))
        for name in of(package)
    }
    assert not {name: found for name, found in against.items() if found}


@pytest.mark.parametrize(
    "name",
    of("mu.distributed", "mu.fisher", "mu.methods", "mu.pruning", "mu.training", "mu.evaluation"),
)
def test_the_library_reaches_neither_tracking_nor_command_line_nor_pages(name: str) -> None:
    assert not [one for one in reaches(name) if inside(one, *ON_TOP)]


@pytest.mark.parametrize("name", of("mu.methods"))
def test_methods_do_not_import_each_other(name: str) -> None:
    others = {one for one in IMPORTS[name] if inside(one, "mu.methods")}
    assert others - METHOD_BASES - {name} == set()


# --- safe by construction -----------------------------------------------------------------


def calls(name: str) -> Iterator[tuple[str, ast.Call]]:
    for node in ast.walk(TREES[name]):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), node


def keywords(call: ast.Call) -> dict[str | None, str]:
    return {one.arg: ast.unparse(one.value) for one in call.keywords}


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_unpickled(name: str) -> None:
    unsafe = ("pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal")
    assert not [one for one in IMPORTS[name] if inside(one, *unsafe)]
    for called, call in calls(name):
        if called == "torch.load":
            assert keywords(call).get("weights_only") == "True"
        if called in ("np.load", "np.save", "numpy.load", "numpy.save"):
            assert keywords(call).get("allow_pickle") == "False", f"say allow_pickle in {name}"
        assert called not in ("eval", "exec", "yaml.load", "torch.hub.load")


@pytest.mark.parametrize("name", FILES)
def test_no_device_is_taken_without_asking_and_no_error_swallowed_unseen(name: str) -> None:
    assert not [called for called, _ in calls(name) if called.endswith(".cuda")]
    for node in ast.walk(TREES[name]):
        assert not (isinstance(node, ast.ExceptHandler) and node.type is None), "a bare except"
        assert not (isinstance(node, ast.ImportFrom) and node.names[0].name == "*"), "a star import"


# --- quick to answer ----------------------------------------------------------------------


def loaded_by(code: str) -> set[str]:
    """The heavy packages that are loaded once ``code`` has run."""
    heavy = "sorted({'torch', 'mlflow', 'sklearn', 'matplotlib', 'torchvision'} & set(sys.modules))"
    script = f"import sys\n{code}\nprint(*{heavy})"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT
    )
    return set(done.stdout.split())


@pytest.mark.parametrize(
    "code",
    [
        "import mu; dir(mu)",
        "import mu.cli.mu, mu.registry, mu.errors, mu.methods, mu.models, mu.data, mu.pruning",
        "import entrypoints.prune, entrypoints.unlearn, entrypoints.sweep",
    ],
)
def test_names_and_options_are_known_before_anything_heavy_is_loaded(code: str) -> None:
    assert loaded_by(code) == set()


def test_the_library_works_without_mlflow() -> None:
    code = "import mu; mu.train_original, mu.make_method, mu.evaluate, mu.forget_split, mu.Run"
    assert "mlflow" not in loaded_by(code)
