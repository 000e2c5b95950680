"""Notebooks run from top to bottom, end with what they showed, and carry no outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.processes import environment, run_python

FOLDER = Path(__file__).parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
each_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
LONGEST = 900  # seconds, on a machine with much else to do


def code_cells(path: Path) -> list[dict[str, Any]]:
    cells = json.loads(path.read_text())["cells"]
    return [cell for cell in cells if cell["cell_type"] == "code"]


def program(path: Path) -> str:
    return "\n\n".join("".join(cell["source"]) for cell in code_cells(path))


@each_notebook
def test_outputs_are_cleared(path: Path) -> None:
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code_cells(path))


@each_notebook
def test_it_ends_with_what_it_showed(path: Path) -> None:
    *_, last = code_cells(path)
    assert "".join(last["source"]).startswith("assert ")


@each_notebook
@pytest.mark.slow
def test_it_runs(path: Path, tmp_path: Path) -> None:
    """Started where Jupyter starts it, in a process and with temporary files of its own."""
    variables = environment({"MPLBACKEND": "Agg", "TMPDIR": str(tmp_path)})
    done = run_python("-c", program(path), cwd=FOLDER, env=variables, timeout=LONGEST)
    assert done.returncode == 0, done.stderr[-3000:]
    assert {one.name for one in FOLDER.iterdir() if one.suffix != ".ipynb"} <= {
        ".ipynb_checkpoints"
    }
