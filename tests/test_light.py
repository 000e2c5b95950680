"""Command lines answer at once: nothing heavy is loaded until something runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from mu.tracking import Store, tracked
from tests.processes import run_python

ROOT = Path(__file__).parents[1]
REMEDY = "import it inside the function that runs"

# Tells who imports a heavy package first, and then builds every command. An entry that must be
# given something is given it.
PROGRAM = """
import pkgutil, sys
from importlib import import_module

HEAVY = {"torch", "torchvision", "mlflow", "sklearn", "scipy", "numpy", "pandas", "matplotlib"}
ROOT, *EXTRA = sys.argv[1:]


class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in HEAVY:
            frame = sys._getframe(1)
            while not frame.f_code.co_filename.startswith(ROOT):
                frame = frame.f_back
            print(f"{frame.f_code.co_filename}:{frame.f_lineno} loads {name}")
            HEAVY.discard(name)


sys.meta_path.insert(0, Watch())
import mu

dir(mu)
for name in EXTRA:
    import_module(name)
for folder in ("mu.methods", "mu.pruning", "mu.data.triggers", "mu.detection", "entrypoints"):
    for found in pkgutil.iter_modules(import_module(folder).__path__, f"{folder}."):
        if not found.ispkg:
            module = import_module(found.name)
            if hasattr(module, "build"):
                command = module.build([])
                command.get_help(command.make_context("name", [], resilient_parsing=True))
from mu.cli.importing import build
from mu.cli.mu import mu as root
from mu.report import metrics  # of `mu metrics`

build([])
"""


def loaders(folder: Path, *extra: str) -> list[str]:
    """What loads something heavy, and where."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(folder), *extra],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT}:{folder}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()


def test_commands_are_built_before_anything_heavy_is_loaded() -> None:
    assert loaders(ROOT) == [], REMEDY


LOOKING = """
import sys
from mu.cli.main import run
from mu.cli.mu import mu

first, second = sys.argv[1:]
lines = (["runs"], ["show", first], ["diff", first, second], ["show", "abcdef12"], ["rns"])
for line in (*lines, ["runs", "--best"]):
    try:
        run(lambda _: mu, line)
    except SystemExit as ended:
        heavy = [one for one in ("torch", "sklearn", "matplotlib") if one in sys.modules]
        print(ended.code, *heavy, file=sys.stderr)
"""


def test_commands_that_look_at_runs_load_no_torch(store: Store) -> None:
    """MLflow itself loads pandas; what its store takes is not ours to choose."""
    runs = []
    for method in ("ft", "ga"):
        with tracked(store, "unlearn", method) as recorder:
            recorder.params({"method": method})
        runs.append(recorder.run_id)
    done = run_python("-c", LOOKING, *runs, new=True)
    said = [line for line in done.stderr.splitlines() if line[:1].isdigit()]
    assert said == ["0", "0", "0", "2", "2", "2"], REMEDY


def test_what_loads_something_heavy_is_named(tmp_path: Path) -> None:
    (tmp_path / "eager.py").write_text("import json\nimport numpy\n")
    assert loaders(tmp_path, "eager") == [f"{tmp_path}/eager.py:2 loads numpy"]
