"""Charts in pages that need no network: Observable Plot and d3, as their npm packages hold them.

Why these: drawn as SVG, whose parts can be focused and named for screen readers and take the
page's colours; no `eval`, so they work under a Content-Security-Policy without it; 0.5 MB
(0.16 MB compressed), against 0.8 MB of Vega-Lite, which needs an interpreter under such a policy,
and 1.2 MB of Plotly's smallest build. The files are the packages' own, unchanged:
``d3@7.9.2/dist/d3.min.js`` and ``@observablehq/plot@0.6.17/dist/plot.umd.min.js``.
"""

from __future__ import annotations

from pathlib import Path

from markupsafe import Markup

FOLDER = Path(__file__).parent
LIBRARIES = ("d3", "plot")  # in this order: Plot takes d3 from the page


def scripts() -> Markup:
    """A ``<script>`` element that defines ``d3`` and ``Plot``, with the licences of both."""
    parts = [
        f"/*\n{_text(f'{name}.licence.txt')}*/\n{_text(f'{name}.min.js')}" for name in LIBRARIES
    ]
    return Markup("<script>\n{}</script>").format(Markup("\n".join(parts)))


def _text(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")
