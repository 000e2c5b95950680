"""The entry backdoor: cleanse a poisoned original, or one for each of several sparsities."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mu.cli.requests import BackdoorOptions, DeviceOptions, Request
from mu.errors import UserError
from mu.pruning import make_pruner
from mu.recipes.profile import DEFAULT_PROFILE, profile
from mu.report import backdoor_plots, console, prose
from mu.report.alarms import Alarm, gravest
from mu.report.markdown import paragraphs
from mu.report.run_names import run_name
from mu.tasks.base import checked_device, run_task
from mu.tasks.cleanse import make_plan, resume, run_plan
from mu.tasks.outputs import write_csv, write_json, write_text
from mu.tasks.perform import print_unlearned
from mu.tasks.unlearn import method_of_interrupted as method_of_interrupted_run
from mu.tracking import Recorder, Store, browse, connect

COLUMNS = (
    *("sparsity", "TA_before", "ASR_before", "TA", "ASR", "robust_acc"),
    *("UA", "RA", "MIA", "gap", "RTE"),
)
SHOWN = tuple(name for name in COLUMNS if name not in ("UA", "MIA"))  # what fits on a line


def backdoor(request: Request) -> None:
    """Plant a backdoor in an original, make it forget the poison, and show what is left."""
    options = BackdoorOptions.of(request.entry)
    checked_device(DeviceOptions.of(request.device))
    store = connect()
    if options.resume_run_id:
        print_unlearned(store, resume(store, options, request))
    elif options.sparsities is not None:
        sparsity_curve(store, options, request)
    else:
        print_unlearned(store, run_plan(make_plan(store, options, request)))


def method_of_interrupted(run_id: str) -> str:
    """The method of an interrupted run of this entry."""
    return method_of_interrupted_run(run_id, "backdoor")


def sparsity_curve(store: Store, options: BackdoorOptions, request: Request) -> None:
    """Do it all for each sparsity, and show clean accuracy and attack success over them."""
    _refuse_what_fixes_one(options, request)
    requests = {sparsity: _of_one(request, sparsity) for sparsity in options.percentages()}
    for one in requests.values():  # before anything is trained
        make_plan(store, options, one)

    def work(recorder: Recorder) -> tuple[list[dict[str, float]], list[str]]:
        config = options.as_dict()
        del config["register"]  # a tag of the runs below
        recorder.params({**config, **request.poison, **request.original})
        rows: list[dict[str, float]] = []
        found: dict[str, Sequence[Alarm]] = {}
        for step, (sparsity, one) in enumerate(requests.items()):
            print(f"sparsity {sparsity:g} %")
            done = run_plan(make_plan(store, options, one), recorder.run_id)
            row = {name: value for name, value in done.metrics.items() if name in COLUMNS}
            rows.append(row | {"sparsity": done.task.problem.checkpoint.mask.sparsity})
            recorder.metrics(rows[-1], step)
            found[done.run_id] = done.alarms
        _save(recorder, options.method, rows, gravest(found))
        return rows, gravest(found)

    run_id, (rows, warnings) = run_task(
        store, "backdoor", run_name(options.method, "over sparsity"), work
    )
    shown = [name for name in SHOWN if any(name in row for row in rows)]
    console.print_table("backdoor over sparsity", shown, rows)
    console.print_warnings(warnings)
    console.print_lines({"run": run_id, "browse": browse(store, "mu-backdoor")})


def _save(
    recorder: Recorder, method: str, rows: list[dict[str, float]], warnings: Sequence[str]
) -> None:
    folder, table = recorder.folder, prose.table_of(COLUMNS, rows)
    notes = (f"> **Warning**: {one}" for one in warnings)
    head = f"**Backdoor over sparsity**, cleansed by {method}"
    recorder.describe(paragraphs(head, table, *notes))
    write_text(folder / "report" / "sparsity.md", table)
    write_csv(folder / "report" / "sparsity.csv", rows, COLUMNS)
    write_json(folder / "metrics.json", {"rows": rows})
    (folder / "plots").mkdir(exist_ok=True)
    backdoor_plots.plot_over_sparsity(rows, method, folder / "plots" / "sparsity.png")


def _refuse_what_fixes_one(options: BackdoorOptions, request: Request) -> None:
    fixed = {
        "prune_run_id": options.prune_run_id,
        "mask_run_id": options.mask_run_id,
        "prune_rate": request.original.get("rate"),
    }
    for name, value in fixed.items():
        if value not in (None, "auto"):
            raise UserError(
                f"{name}={value}: sparsities={options.sparsities} makes an original for each "
                f"sparsity; leave {name} out"
            )


def _of_one(request: Request, sparsity: float) -> Request:
    """What is requested for one sparsity: the rate of each round that comes to it in the end."""
    given = request.original
    chosen = profile(given.get("profile", DEFAULT_PROFILE)).pruner
    rounds = given.get("rounds") or make_pruner(given.get("pruner") or chosen).rounds
    rate = 1 - (1 - sparsity / 100) ** (1 / rounds)
    return replace(request, original={**given, "rate": round(rate, 6)})
