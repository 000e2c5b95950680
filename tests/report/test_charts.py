"""The vendored libraries: unchanged, whole within one element, and without code made from text."""

from __future__ import annotations

import hashlib

from mu.report import charts

RELEASED = {  # of the files in the npm packages
    "d3.min.js": "912111098ea99503a6f4967361d2bbdc9dbf58cf9c678c8e27e5b02d1a07f0c1",
    "plot.min.js": "4358086467740777dd788d6b27a95cebdbaefdd50c730a3060117073bd7134cb",
}


def test_the_libraries_are_the_released_files() -> None:
    for name, digest in RELEASED.items():
        assert hashlib.sha256((charts.FOLDER / name).read_bytes()).hexdigest() == digest


def test_they_fit_into_one_element_with_their_licences() -> None:
    text = str(charts.scripts())
    inside = text.removeprefix("<script>").removesuffix("</script>")
    # Any of these would end the element early, or hide its end.
    assert not [one for one in ("<script", "</script", "<!--") if one in inside.lower()]
    assert inside.count("Permission to use, copy, modify") == len(charts.LIBRARIES)
    assert inside.index("d3js.org") < inside.index("@observablehq/plot v")
