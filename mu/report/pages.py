"""What pages share: their look, and how their templates are read."""

from __future__ import annotations

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

COMMON = Path(__file__).parent / "comparison" / "page"  # colours, tables, tips; parts.html


def environment(folder: Path) -> Environment:
    """Reads the templates of a folder, and those that are shared; all that is put in is escaped."""
    return Environment(
        loader=FileSystemLoader([folder, COMMON]), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True,
    )  # fmt: skip


def joined(*files: Path) -> Markup:
    """Style sheets, or scripts, one after the other."""
    return Markup("".join(file.read_text(encoding="utf-8") for file in files))
