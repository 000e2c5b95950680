"""The page on evidence: its table is the schema's, and its commands are those of other programs."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from mu.evidence.bundle import CONTENTS, PUBLIC_KEY, UNLISTED
from mu.evidence.statement import schema
from tests.evidence.made import made

PAGE = (Path(__file__).parents[2] / "docs" / "evidence.md").read_text()
SCHEMA = schema()


def resolved(node: Mapping[str, Any]) -> Mapping[str, Any]:
    """What a node stands for: what it refers to, or the alternative that is no null."""
    if "$ref" in node:
        return {**resolved(SCHEMA["$defs"][node["$ref"].rpartition("/")[2]]), **node}
    if "anyOf" in node:
        return {**resolved(node["anyOf"][0]), **node}
    return node


def rows(node: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """A row of the table for each field that has a description."""
    for name, field in resolved(node).get("properties", {}).items():
        found, path = resolved(field), f"{place}{name}"
        if "description" in field:
            words = ", ".join(f"`{one}`" for one in found.get("enum", ()))
            yield f"| `{path}` | {field['description']}{f': {words}' if words else ''} |"
        if found.get("type") == "array":
            yield from rows(found["items"], f"{path}[].")
        elif found.get("$ref") != "#/$defs/network" or path == "action.model":  # once is enough
            yield from rows(found, f"{path}.")


def table() -> str:
    return "\n".join(rows(SCHEMA["$defs"]["predicate"]))


def test_the_table_is_that_of_the_schema() -> None:
    assert table() in PAGE


def test_every_file_of_a_bundle_is_on_the_page() -> None:
    assert {*CONTENTS, *UNLISTED, PUBLIC_KEY} <= {*re.findall(r"`([^`\n]+)`", PAGE)}


@pytest.mark.skipif(not all(map(shutil.which, ("jq", "openssl"))), reason="needs jq and openssl")
def test_the_commands_by_hand_verify_a_bundle(tmp_path: Path) -> None:
    (commands,) = re.findall(r"```\ncd evidence\n(.*?)```", PAGE, re.DOTALL)
    made().write(tmp_path / "evidence")

    def by_hand() -> subprocess.CompletedProcess[str]:
        script = commands.replace("/tmp/", f"{tmp_path}/")
        return subprocess.run(
            ["bash", "-e", "-c", script],
            cwd=tmp_path / "evidence",
            text=True,
            capture_output=True,
            check=False,
        )

    done = by_hand()
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("Verified OK") == 2
    assert done.stdout.count(": OK") == len(CONTENTS) + 2
    page = tmp_path / "evidence" / "page.html"
    page.write_text("another")
    assert by_hand().returncode == 1
