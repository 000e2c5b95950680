"""The page of methods against the registry: each is there, with what the page promises of it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mu.evaluation.controls import CONTROLS
from mu.methods import METHODS
from mu.methods.presets import Presets

PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()
SECTIONS = dict(re.findall(r"^## `(\w+)`\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL))
WITH_PRESETS = [name for name, kind in METHODS.items() if issubclass(kind, Presets)]


@pytest.mark.parametrize("name", sorted({*METHODS} - {*CONTROLS}))
def test_a_method_has_a_section_with_its_aliases_and_all_rows(name):
    section = SECTIONS[name]
    for alias in METHODS[name].aliases:
        assert f"`{alias}`" in section
    for row in ("objective", "reads", "passes", "elsewhere", "sparse"):
        assert f"\n| {row} | " in section


def test_no_section_is_of_what_is_no_method():
    assert {*SECTIONS} <= {*METHODS}


@pytest.mark.parametrize("name", WITH_PRESETS)
def test_published_settings_stand_there_with_their_source(name):
    rows = [row for row in PAGE.splitlines() if row.startswith(f"| `{name}` |")]
    kind = METHODS[name]
    stated = set()
    for row in rows:
        _, _, preset, settings, source, _ = row.split("|")
        for key, value in re.findall(r"`(\w+)=([^`]+)`", settings):
            one = kind.presets[preset.strip(" `")][key]
            assert (value, source.strip()) == (str(one.value), one.source)
            stated.add((preset.strip(" `"), key))
    assert stated == {(preset, key) for preset, one in kind.presets.items() for key in one}
    for preset in kind.presets:
        assert kind.of({"preset": preset}).preset == preset
