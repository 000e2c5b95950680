"""The entry claims: find the runs of the grids, and say which published claims they bear out."""

from __future__ import annotations

import datetime
import sys
from collections import Counter
from functools import lru_cache
from pathlib import Path

from mu.cli.requests import ClaimsOptions, DeviceOptions, Request
from mu.report import console
from mu.report.markdown import escape, markdown_table, paragraphs
from mu.report.run_names import run_name
from mu.tasks.base import run_task
from mu.tasks.claims.document import read_claims
from mu.tasks.claims.judge import FAIL, NOT_RUN, PASS, Measured, Verdict, judge
from mu.tasks.outputs import write_json, write_text
from mu.tasks.sweep.find import Finder
from mu.tasks.sweep.grid import Grid, load_yaml, read_grid
from mu.tasks.sweep.plan import Task, plan_of
from mu.tracking import Recorder, Store, browse, connect

COLUMNS = ("claim", "published", "settings", "found", "margin", "verdict")
LAYOUT = "lllrrl"


def claims(request: Request) -> None:
    """Judge every claim, in a run of its own; the process ends with 1 unless all of them pass."""
    options = ClaimsOptions.of(request.entry)
    path = Path(options.claims)
    listed = read_claims(path)
    grids = {one.grid: _grid(path.parent / one.grid, options.scale) for one in listed}
    store = connect()
    runs = {name: measured(grid, store) for name, grid in grids.items()}
    verdicts = [verdict for one in listed for verdict in judge(one, runs[one.grid])]
    counts = Counter(one.word for one in verdicts)
    legend = [UNCERTAIN] if any(cells(one)[-1].endswith("?") for one in verdicts) else []

    def work(recorder: Recorder) -> None:
        recorder.params(options.as_dict())
        recorder.metrics({name: float(counts[word]) for name, word in METRICS.items()})
        table = markdown_table(
            COLUMNS, ([escape(text) for text in cells(one)] for one in verdicts), LAYOUT
        )
        write_text(recorder.folder / "report/claims.md", paragraphs(table, *legend))
        kept = {"claims": [document(one) for one in verdicts]}
        write_json(recorder.folder / "report/claims.json", kept)
        lead = f"{summary(counts)}, {datetime.date.today()}"
        recorder.describe(paragraphs(lead, table, *legend))

    run_id, _ = run_task(store, "claims", run_name("claims", path.stem), work)
    console.print_texts("", COLUMNS, map(cells, verdicts), LAYOUT, plain=True)
    print("\n".join([*legend, summary(counts)]))
    console.print_lines({"claims": run_id, "browse": browse(store, run_id=run_id)})
    if counts[PASS] < len(verdicts):
        sys.exit(1)


UNCERTAIN = (
    "?: the margin's interval holds 0, there is one original only, or runs are missing; more could "
    "turn it. (1 of 9): of so many pairs of original and forget set all runs are there"
)
METRICS = {"claims_passed": PASS, "claims_failed": FAIL, "claims_not_run": NOT_RUN}


def summary(counts: Counter[str]) -> str:
    """How many passed, in a line."""
    return ", ".join(f"{counts[word]} {word}" for word in METRICS.values())


def _grid(path: Path, scale: str | None) -> Grid:
    files = str(path) if scale is None else f"{path},{scale}"
    return Grid.of(load_yaml(read_grid(files), files))


def measured(grid: Grid, store: Store) -> list[Measured]:
    """Every run that a grid plans, with its metrics where it is finished."""
    device = DeviceOptions.of({})
    plan = plan_of(grid, device, lru_cache(lambda: store))
    found = Finder(store).all(plan)
    return [
        Measured(settings_of(task), found[task.key]["metrics"] if task.key in found else None)
        for task in plan
        if task.needs
    ]


def settings_of(task: Task) -> dict[str, object]:
    """What a claim tells runs apart by."""
    what = task.what
    unlearning = {"method": what["method"], "forget": what["forget"]}
    return {**task.original.settings, **unlearning, "preset": what["settings"].get("preset")}


def cells(one: Verdict) -> list[str]:
    """A row of the table."""
    settings = "defaults" if one.preset == "none" else f"preset={one.preset}"
    if one.margin is None:
        return [one.claim.claim, one.claim.published, settings, "-", "-", one.word]
    bounds = "" if one.low is None else f" ({one.low:.2f} to {one.high:.2f})"
    margin = f"{one.margin:+.2f}{bounds}"
    word = one.word if one.is_certain else f"{one.word}?"
    whole, planned = one.pairs
    found = one.found if whole == planned else f"{one.found} ({whole} of {planned})"
    return [one.claim.claim, one.claim.published, settings, found, margin, word]


def document(one: Verdict) -> dict[str, object]:
    """A verdict as it is kept."""
    return {
        "claim": one.claim.claim,
        "source": one.claim.source,
        "published": one.claim.published,
        "metric": one.claim.metric,
        "preset": one.preset,
        "verdict": one.word,
        "certain": one.is_certain,
        "found": one.found,
        "margin": one.margin,
        "low": one.low,
        "high": one.high,
        "originals": one.originals,
        "pairs": one.pairs,
    }
