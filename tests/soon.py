"""What takes most of the time of a run, and no test of whole runs is about, made short."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mu.checkpoints import Checkpoint
from mu.evaluation.depth.relearn import MOST_STEPS, RATES, Relearning


def relearn_soon() -> Callable[[], None]:
    """Networks relearn at ten times the rate, and give up after 20 steps; gives what ends that."""
    counts = {name: getattr(Relearning, name) for name in ("quickest", "steps")}

    def put(found: dict[str, Any]) -> None:
        for name, count in found.items():
            setattr(Relearning, name, count)

    put({name: _soon(count) for name, count in counts.items()})
    return lambda: put(counts)


def _soon(count: Callable[..., int | None]) -> Callable[..., int | None]:
    def soon(
        self: Relearning, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        return count(self, checkpoint, 10 * lr, min(most, MOST_STEPS // 10))

    return soon


def paint_nothing() -> Callable[[], None]:
    """Pictures are made, but not drawn: a file has one pixel, an SVG element of a page nothing.

    What draws is ``Figure.painted``. Gives what ends that.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    paint = Figure.savefig

    def savefig(figure: Figure, target: object, **settings: Any) -> None:
        if isinstance(target, Path) and target.suffix == ".png":
            Image.new("L", (1, 1)).save(target)
        elif isinstance(target, io.StringIO) and settings.get("format") == "svg":
            target.write('<svg viewBox="0 0 1 1"></svg>')
        else:
            paint(figure, target, **settings)

    def put(draw: Any) -> None:
        Figure.savefig = draw  # type: ignore[method-assign]

    Figure.painted = paint  # type: ignore[attr-defined]
    put(savefig)
    return lambda: put(paint)
