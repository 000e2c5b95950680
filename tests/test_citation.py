"""CITATION.cff and the README's section on citing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

import mu

ROOT = Path(__file__).parents[1]
CITATION: dict[str, Any] = yaml.safe_load((ROOT / "CITATION.cff").read_text())
PAPER = CITATION["preferred-citation"]


def test_it_has_what_the_format_requires() -> None:
    assert CITATION["cff-version"] == "1.2.0"
    assert CITATION["type"] == "software"
    assert CITATION["message"]
    assert CITATION["title"].startswith("mu")
    assert CITATION["authors"]


def test_its_version_is_that_of_the_package() -> None:
    assert CITATION["version"] == mu.__version__


def test_the_preferred_citation_is_the_paper() -> None:
    assert PAPER["type"] == "conference-paper"
    assert PAPER["title"] == "Model Sparsity Can Simplify Machine Unlearning"
    assert PAPER["year"] == 2023
    assert len(PAPER["authors"]) == 8


@pytest.mark.parametrize("author", PAPER["authors"], ids=lambda one: one["given-names"])
def test_the_readme_names_the_same_authors(author: dict[str, str]) -> None:
    readme = (ROOT / "README.md").read_text()
    assert f"{author['family-names']}, {author['given-names']}" in readme
