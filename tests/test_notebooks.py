"""Notebooks are stored as they were executed, show it on any machine, and come out so again."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from nbformat import NotebookNode

from tests.notebooks import FOLDER, executed, notebooks, read

MOST_BYTES = 300_000
NUMBER = re.compile(r"-?\d+(\.\d+)?(e[+-]?\d+)?")
# Of a machine, and of one run: absolute paths, run IDs.
FOREIGN = re.compile(r"(?<![\w.<:/])(/|[A-Z]:\\|~/)\w+[/\\]|file://|\b[0-9a-f]{32}\b")
each_notebook = pytest.mark.parametrize("path", notebooks(), ids=lambda path: path.stem)


def code_cells(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def outputs(path: Path) -> list[NotebookNode]:
    return [output for cell in code_cells(read(path)) for output in cell.outputs]


def texts(output: NotebookNode) -> dict[str, str]:
    """What an output shows as text, by the kind of text."""
    shown = {**output.get("data", {}), output.get("name", "text"): output.get("text", "")}
    return {kind: text for kind, text in shown.items() if not kind.startswith("image/")}


def form(output: NotebookNode) -> tuple[Any, ...]:
    """Its kinds, and its texts but for numbers and the room that they take."""
    masked = {kind: " ".join(NUMBER.sub("#", text).split()) for kind, text in texts(output).items()}
    return output.output_type, sorted(output.get("data", {})), masked


@each_notebook
def test_every_cell_was_executed_in_order(path: Path) -> None:
    counts = [cell.execution_count for cell in code_cells(read(path))]
    assert counts == [*range(1, len(counts) + 1)], "run: make notebooks"


@each_notebook
def test_it_shows_figures_and_tables_and_nothing_else_is_printed(path: Path) -> None:
    found = outputs(path)
    assert {one.output_type for one in found} <= {"display_data", "execute_result"}
    kinds = {kind for one in found for kind in one.data}
    assert {"image/png", "text/html"} <= kinds


@each_notebook
def test_it_is_small_and_the_same_on_any_machine(path: Path) -> None:
    assert path.stat().st_size < MOST_BYTES
    notebook = read(path)
    assert {*notebook.metadata} == {"kernelspec", "language_info"}
    assert not any(cell.metadata for cell in notebook.cells)
    for output in outputs(path):
        assert not [text for text in texts(output).values() if FOREIGN.search(text)]


@pytest.mark.parametrize("text", ["in /home/me/mu.py", "'/tmp/a'", "C:\\Users\\x", "a" * 32])
def test_what_is_of_a_machine_is_found(text: str) -> None:
    assert FOREIGN.search(text)


@each_notebook
def test_it_ends_with_what_it_showed(path: Path) -> None:
    *_, last = code_cells(read(path))
    assert last.source.startswith("assert ")


@each_notebook
@pytest.mark.slow
def test_it_comes_out_as_it_is_stored(path: Path) -> None:
    """But for numbers: processors round differently."""
    stored, again = (code_cells(one) for one in (read(path), executed(path)))
    for cell, new in zip(stored, again, strict=True):
        assert [*map(form, new.outputs)] == [*map(form, cell.outputs)], cell.source
    beside = {one.name for one in FOLDER.iterdir() if one.suffix != ".ipynb"}
    assert beside <= {".ipynb_checkpoints"}
