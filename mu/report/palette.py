"""One look for each method, the same in every figure and on every page.

The colours are told apart by people who see few of them (after Okabe & Ito 2008), on white and on
black; their lightness, markers and line styles differ too, so that grey prints can be read.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Style:
    """How a method is drawn."""

    colour: str  # ``#rrggbb``
    marker: str  # as matplotlib names it, like the line
    line: str
    variant: int = 0  # or the number of another setting of the same method, with another line

    @property
    def face(self) -> str:
        """Colour of a marker's inside, which only a method's first settings have."""
        return "none" if self.variant else self.colour


# In the order of the paper's table: the oracle, controls, then methods, its own last.
LOOKS = {
    "retrain": Style("#7f7f7f", "*", "--"),
    "nothing": Style("#9a9a9a", "_", ":"),
    "logit_mask": Style("#8c8574", "|", ":"),
    "ft": Style("#3f8fd6", "o", "-"),
    "ga": Style("#d9822b", "s", "--"),
    "ff": Style("#c25fa5", "D", "-."),
    "iu": Style("#17a58c", "^", ":"),
    "l1_sparse": Style("#d64545", "P", "-"),
}
# Of methods without a look of their own: by place, all different for the first 52.
_COLOURS = ("#8f7ae5", "#a08a1c", "#4c9a2a", "#6b7d8f")
_MARKERS = ("v", "X", "<", ">", "p", "h", "d", "H", "8", "1", "2", "3", "4")
_LINES = ("-", "--", "-.", ":")


def method_rank(method: str) -> tuple[int, str]:
    """Orders methods: as in :data:`LOOKS`, others after them by name."""
    known = list(LOOKS)
    return (known.index(method) if method in LOOKS else len(known), method)


def style_of(method: str, others: tuple[str, ...] = ()) -> Style:
    """The style of a method; of one that has none of its own, by its place among ``others``."""
    if method in LOOKS:
        return LOOKS[method]
    place = others.index(method) if method in others else sum(map(ord, method))
    colour, marker = _COLOURS[place % len(_COLOURS)], _MARKERS[place % len(_MARKERS)]
    return Style(colour, marker, _LINES[place % len(_LINES)])
