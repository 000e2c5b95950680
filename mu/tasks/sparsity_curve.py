"""The backdoor entry over several sparsities: runs below one, a table and a plot."""

from __future__ import annotations

import csv
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from entrypoints.backdoor import Asked, BackdoorOptions
from entrypoints.poisoning import make_plan, run_plan
from mu.cli.handover import browse, write_json
from mu.errors import UserError
from mu.report import backdoor_plots, console, prose
from mu.tracking import connect, tracked

COLUMNS = (
    *("sparsity", "TA_before", "ASR_before", "TA", "ASR", "robust_acc"),
    *("UA", "RA", "MIA", "gap", "RTE"),
)
SHOWN = tuple(name for name in COLUMNS if name not in ("UA", "MIA"))  # what fits on a line


def figure(options: BackdoorOptions, asked: Asked) -> None:
    """Do it all for each sparsity, and show clean accuracy and attack success over them."""
    assert options.sparsities is not None
    sparsities = parse_sparsities(options.sparsities)
    _refuse_what_fixes_one(options, asked)
    store = connect()
    orders = [(sparsity, _of_one(options, asked, sparsity)) for sparsity in sparsities]
    for _, one in orders:  # before anything is trained
        make_plan(store, options, one)
    title = f"{options.method} over sparsity"
    with tracked(store, "backdoor", title) as recorder:
        print(f"backdoor run {recorder.run_id}, of all sparsities", file=sys.stderr, flush=True)
        recorder.params({**options.as_dict(), **asked.poison, **asked.original})
        rows: list[dict[str, float]] = []
        for step, (sparsity, one) in enumerate(orders):
            print(f"sparsity {sparsity:g} %")
            done = run_plan(store, make_plan(store, options, one), recorder.run_id)
            row = {name: value for name, value in done.result.metrics.items() if name in COLUMNS}
            rows.append(row | {"sparsity": done.job.upstream.checkpoint.mask.sparsity})
            recorder.metrics(rows[-1], step)
        folder = recorder.folder
        (folder / "report").mkdir()
        (folder / "plots").mkdir()
        table = prose.table_of(COLUMNS, rows)
        recorder.describe(f"**Backdoor over sparsity**, cleansed by {options.method}\n\n{table}")
        (folder / "report" / "sparsity.md").write_text(table)
        _write_csv(rows, folder / "report" / "sparsity.csv")
        write_json(folder / "metrics.json", {"rows": rows})
        backdoor_plots.plot_over_sparsity(rows, options.method, folder / "plots" / "sparsity.png")
    shown = [name for name in SHOWN if any(name in row for row in rows)]
    console.print_table("backdoor over sparsity", shown, rows)
    lines = {"run": recorder.run_id, "browse": browse(store, "mu-backdoor")}
    console.print_lines(lines)


def parse_sparsities(text: str) -> list[float]:
    """Percentages with commas between them.

    Raises
    ------
    UserError
        If one is no number from 0 to below 100, or comes twice.
    """
    found: list[float] = []
    for word in text.split(","):
        try:
            value = float(word.strip().removesuffix("%"))
        except ValueError:
            raise UserError(
                f"sparsities={text!r}: {word.strip()!r} is no number; write 0,50,95, say"
            ) from None
        if not 0 <= value < 100 or value in found:
            raise UserError(
                f"sparsities={text!r}: {word.strip()} must be at least 0, below 100, and not be "
                "there twice"
            )
        found.append(value)
    return found


def _refuse_what_fixes_one(options: BackdoorOptions, asked: Asked) -> None:
    fixed = {
        "prune_run_id": options.prune_run_id if options.prune_run_id != "auto" else None,
        "mask_run_id": options.mask_run_id,
        "prune_rate": asked.original.get("rate"),
    }
    for name, value in fixed.items():
        if value is not None:
            raise UserError(
                f"{name}={value}: sparsities={options.sparsities} makes an original for each "
                f"sparsity; leave {name} out"
            )


def _of_one(options: BackdoorOptions, asked: Asked, sparsity: float) -> Asked:
    """What is asked for one sparsity: the rate of each round that comes to it in the end."""
    rounds = int(asked.original.get("rounds") or _rounds_of(asked.original))
    rate = 1 - (1 - sparsity / 100) ** (1 / rounds)
    return replace(asked, original={**asked.original, "rate": round(rate, 6)})


def _rounds_of(original: Mapping[str, object]) -> int:
    """Rounds of the pruner that is asked for, by default."""
    from mu.profiles import DEFAULT_PROFILE, profile
    from mu.pruning import make_pruner

    chosen = profile(str(original.get("profile", DEFAULT_PROFILE)))
    return int(make_pruner(str(original.get("pruner", chosen.pruner))).rounds)


def _write_csv(rows: Sequence[Mapping[str, float]], path: Path) -> None:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
