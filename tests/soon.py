"""What takes most of the time of runs, and no test of whole runs is about, made short.

Each function begins that, and gives what ends it.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from mu.checkpoints import Checkpoint
from mu.evaluation.depth import measure, relearn
from mu.evaluation.depth.relearn import FEWEST_STEPS, MOST_STEPS, RATES, Relearning

# What is changed below, as users have it.
RELEARNING: Final[dict[tuple[Any, str], Any]] = {
    **{(Relearning, name): getattr(Relearning, name) for name in ("quickest", "steps")},
    **{(module, "FEWEST_STEPS"): FEWEST_STEPS for module in (relearn, measure)},
}
PAINTING: Final[dict[tuple[Any, str], Any]] = {}  # what is changed while nothing is painted


def relearn_soon() -> Callable[[], None]:
    """Networks relearn at twenty times the rate, and give up after 10 steps; 5 are enough."""
    for (owner, name), it in RELEARNING.items():
        setattr(owner, name, _soon(it) if callable(it) else it // 2)
    return relearn_as_it_is


def relearn_as_it_is() -> None:
    """Networks relearn as users have it."""
    for (owner, name), it in RELEARNING.items():
        setattr(owner, name, it)


def _soon(count: Callable[..., int | None]) -> Callable[..., int | None]:
    def soon(
        self: Relearning, checkpoint: Checkpoint, lr: float = RATES[0], most: int = MOST_STEPS
    ) -> int | None:
        return count(self, checkpoint, 20 * lr, min(most, MOST_STEPS // 20))

    return soon


class _Axes:
    """Takes whatever is drawn on it, and gives nothing but itself."""

    def __getattr__(self, name: str) -> _Axes:
        if name.startswith("__"):
            raise AttributeError(name)
        return self

    def __call__(self, *given: object, **named: object) -> _Axes:
        return self

    def get_ylim(self) -> tuple[float, float]:
        return 0.0, 1.0


def paint_nothing() -> Callable[[], None]:
    """Pictures are not drawn: a file has one pixel, an SVG element of a page nothing.

    What a run's page shows has no axes either, which take longest. The page of an unlearning is
    a dash, and what it would show is not collected.
    """
    from matplotlib.figure import Figure
    from PIL import Image

    from mu.report import plots, run_page

    class Blank(Figure):
        def subplots(  # type: ignore[override]
            self, rows: int = 1, columns: int = 1, *, squeeze: bool = True, **given: object
        ) -> Any:
            grid = np.full((rows, columns), _Axes(), object)
            return (grid.squeeze() if squeeze else grid)[()]

    paint = Figure.savefig

    def savefig(figure: Figure, target: object, **settings: Any) -> None:
        if isinstance(target, Path) and target.suffix == ".png":
            Image.new("L", (1, 1)).save(target)
        elif isinstance(target, io.StringIO) and settings.get("format") == "svg":
            target.write('<svg viewBox="0 0 1 1"></svg>')
        else:
            paint(figure, target, **settings)

    def save_page(path: Path, collect: object) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text("-")  # an empty file is sent in chunks, which no proxy of the tests reads

    PAINTING.update({(Figure, "savefig"): paint, (plots, "Figure"): Figure})
    PAINTING[run_page, "save_page"] = run_page.save_page
    Figure.savefig, plots.Figure = savefig, Blank  # type: ignore[method-assign, misc]
    run_page.save_page = save_page
    return paint_as_it_is


def paint_as_it_is(put: Callable[[Any, str, Any], None] = setattr) -> None:
    """Pictures are drawn as users have them; ``put`` puts what draws them into its place."""
    for (owner, name), it in PAINTING.items():
        put(owner, name, it)


def light_stores() -> Callable[[], None]:
    """SQLite stores wait for no disk, and share what is worked out for each of them.

    Tests have a store each. MLflow reads all its migrations for one, to know the newest, and
    SQLAlchemy compiles every query anew. Nothing is lost where a process dies, only if the power
    fails.
    """
    import mlflow.store.db.utils as utils
    from sqlalchemy import event

    names = ("_get_latest_schema_revision", "create_sqlalchemy_engine")
    before = {name: getattr(utils, name) for name in names}
    compiled: list[Any] = []

    def create(uri: str) -> Any:
        engine = before["create_sqlalchemy_engine"](uri)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", lambda one, _: one.execute("PRAGMA synchronous = OFF"))
            if not compiled:
                compiled.extend((engine.dialect, engine._compiled_cache))
            engine.dialect, engine._compiled_cache = compiled
        return engine

    def put(found: dict[str, Any]) -> None:
        for name, function in found.items():
            setattr(utils, name, function)

    put({names[0]: functools.cache(before[names[0]]), names[1]: create})
    return lambda: put(before)
