"""Commands in the documentation against the programs' own options."""

from __future__ import annotations

import re
import shlex
import xml.etree.ElementTree as ET
from itertools import pairwise
from pathlib import Path

import pytest

from mu.cli import importing
from tests.test_mlproject import PROGRAMS

ROOT = Path(__file__).parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
OF_A_RUN = {"--resume_run_id", "--unlearn_run_id"}  # which options there are depends on that run
DATA = "-P dataset=cifar10 -P data_dir=PATH -P arch=resnet18"


def commands(page: Path) -> list[str]:
    """Every `mlflow run . -e …` of a page, in blocks and in tables, with no comment behind it."""
    found = re.findall(r"mlflow run \. -e [^`\n|#]*", page.read_text().replace("\\\n", " "))
    return [re.sub(r"\bDATA\b", DATA, one) for one in found]


def arguments(command: str) -> tuple[str, list[str]]:
    """The entry and what MLflow hands its program."""
    entry, *rest = shlex.split(command.removeprefix("mlflow run . -e "))
    given = [one for flag, one in pairwise(rest) if flag == "-P" and "=" in one]
    return entry, [word for one in given for word in (f"--{one.split('=')[0]}", one.split("=")[1])]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_command_has_options_that_its_program_takes(page: Path) -> None:
    for command in commands(page):
        entry, given = arguments(command)
        if OF_A_RUN & set(given):
            continue
        PROGRAMS[entry].build(given).make_context(entry, list(given))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text()):
        if "://" in target:
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), target
        if anchor:
            assert anchor in anchors(linked), target


def test_promises_are_held_by_tests_that_are_there() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / "promises.md").read_text())
    assert len(named) > 50
    for file, function in named:
        assert f"\ndef {function}(" in (ROOT / file).read_text(), f"{file}::{function}"


def anchors(page: Path) -> set[str]:
    """Headings as GitHub names them in links."""
    heads = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads}


def test_the_import_of_the_papers_checkpoints_is_a_command() -> None:
    page = (ROOT / "docs" / "from-the-paper.md").read_text()
    (line,) = re.findall(r"^mu import (.+)$", page, re.MULTILINE)
    importing.build(shlex.split(line)).make_context("import", shlex.split(line))


def test_the_drawing_says_in_words_what_it_shows() -> None:
    svg = "{http://www.w3.org/2000/svg}"
    drawing = ET.parse(ROOT / "docs" / "idea.svg").getroot()
    assert drawing.get("role") == "img"
    named = {one.get("id"): one for one in drawing if one.tag in (f"{svg}title", f"{svg}desc")}
    for name in str(drawing.get("aria-labelledby")).split():
        assert named[name].text
