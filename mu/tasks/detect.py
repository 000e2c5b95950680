"""What ``evaluate`` does with ``suspects``: find samples that look poisoned, and show them."""

from __future__ import annotations

from mu import tags
from mu.cli.requests import DeviceOptions, EvaluateOptions, Request
from mu.data.attack import AttackedDataset
from mu.data.images import ImageDataset
from mu.detection.base import Suspects
from mu.errors import UserError
from mu.evaluation.planted import backdoor
from mu.report import console
from mu.report.markdown import escape, items, markdown_table, paragraphs
from mu.report.run_names import ID_SHOWN, run_name
from mu.rounding import rounded
from mu.tasks.attacks import stated_options
from mu.tasks.base import checked_device, make_run, record_rounding, run_task
from mu.tasks.outputs import about, keep_results, log_data
from mu.tasks.subject import network_of
from mu.tasks.suspects import COLUMNS, Search, quality, rows_of
from mu.tracking import Recorder, browse, connect, fingerprint_tag

FIRST = 5  # suspects that are printed
ON_PAGE = 20  # that the run's page shows
LAYOUT = "rrllr"  # of COLUMNS
SHOWN = ("suspects_precision", "suspects_recall", "ASR", "ASR_source", "robust_acc")  # in a note
WITHOUT_EFFECT = ("forget", "metrics", "oracle_run_id", "run_ids", "oracle_run_ids")


def detect(request: Request) -> None:
    """Ask a detector which training samples of a finished network look poisoned."""
    options = EvaluateOptions.of(request.entry)
    _refuse_other_measurements(options)
    search = Search(str(options.suspects), request)
    device = checked_device(DeviceOptions.of(request.device))
    store = connect()
    checkpoint, dataset = network_of(store, options, request, "searched")
    search.detector.label(dataset)  # refuses a class that is not there
    run = make_run(device)

    def work(recorder: Recorder) -> tuple[Suspects, dict[str, float]]:
        recorder.params({**options.as_dict(), **search.options(), **stated_options(dataset)})
        data = fingerprint_tag(dataset.fingerprint)
        recorder.tags({tags.UPSTREAM: options.run_id, tags.DATA: data})
        log_data(recorder, dataset)
        found = search.run(checkpoint, dataset, run)
        record_rounding(recorder, run)
        if isinstance(dataset, AttackedDataset):
            run.note(f"ASR is of {dataset.attack.in_words(dataset)}")
        numbers = {**quality(found, dataset), **backdoor(checkpoint.model, dataset, run)}
        metrics = {name: rounded(value) for name, value in numbers.items()}
        recorder.metrics(metrics)
        search.save(recorder, dataset)
        rows = [[escape(one) for one in row] for row in _texts(found, dataset, ON_PAGE)]
        count = len(found.numbers)
        more = f"; the first {ON_PAGE}" if count > ON_PAGE else ""
        commands = _next(options, recorder.run_id, found)
        text = paragraphs(
            f"**Suspects**: `{search.detector.name}` suspects {count:,} training samples of "
            f"{about(checkpoint)}{more}.",
            markdown_table(COLUMNS, rows, LAYOUT) if rows else "",
            *(f"> {note}" for note in run.notes),
            items({n: f"{value:.2f} %" for n, value in metrics.items() if n != "suspects"}),
            items({name: f"`{command}`" for name, command in commands.items()}),
            "All are in the artifact `suspects/suspects.csv`, pictures in `suspects/sheet.png`.",
        )
        keep_results(recorder, metrics, text)
        return found, metrics

    title = run_name("suspects", (options.run_id or "a file")[:ID_SHOWN])
    run_id, (found, metrics) = run_task(store, "evaluate", title, work)
    count = len(found.numbers)
    console.print_texts(
        f"{search.detector.name} on {about(checkpoint)}: {count} suspects"
        + (f", the first {FIRST}" if count > FIRST else ""),
        COLUMNS,
        _texts(found, dataset, FIRST),
        LAYOUT,
        plain=True,
    )
    numbers = ", ".join(f"{name} {metrics[name]:.1f} %" for name in SHOWN if name in metrics)
    console.print_notes([*run.notes, *filter(None, [numbers])])
    lines = {"model": options.run_id or str(options.checkpoint), "suspects": run_id}
    lines |= _next(options, run_id, found)
    console.print_lines({**lines, "browse": browse(store, run_id=run_id)})


def _refuse_other_measurements(options: EvaluateOptions) -> None:
    default = EvaluateOptions().as_dict()
    given = options.as_dict()
    for name in WITHOUT_EFFECT:
        if given[name] != default[name]:
            raise UserError(
                f"{name}={given[name]} has no effect beside suspects={options.suspects}, which "
                f"measures nothing of it; leave one out"
            )


def _texts(found: Suspects, dataset: ImageDataset, most: int) -> list[list[str]]:
    return [[str(row[name]) for name in COLUMNS] for row in rows_of(found, dataset, most)]


def _next(options: EvaluateOptions, run_id: str, found: Suspects) -> dict[str, str]:
    """Commands that go on from here."""
    if not len(found.numbers):
        return {}
    lines = {"see them": f"mlflow artifacts download -r {run_id} -a suspects -d DIR"}
    if options.run_id:
        forget = f"mlflow run . -e unlearn -P prune_run_id={options.run_id} -P forget=suspects:"
        lines |= {"forget all": f"{forget}{run_id}", "the first 30": f"{forget}{run_id}:30"}
    return lines
