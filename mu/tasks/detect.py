"""What ``evaluate`` does with ``suspects``: find samples that look poisoned, and show them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, EvaluateOptions, Request
from mu.data.attack import AttackedDataset
from mu.data.images import ImageDataset
from mu.detection.base import Suspects
from mu.errors import UserError
from mu.evaluation.planted import backdoor
from mu.report import console, prose
from mu.tasks.attacks import stated, stated_options
from mu.tasks.base import checked_device, make_run, record_threads, run_task
from mu.tasks.outputs import about, log_data, write_json, write_text
from mu.tasks.resolve import data_of
from mu.tasks.suspects import COLUMNS, Search, quality, rows_of
from mu.tracking import Recorder, Store, browse, connect, fetch_checkpoint, fingerprint_tag, rounded

FIRST = 5  # suspects that are printed
ON_PAGE = 20  # that the run's page shows
WITHOUT_EFFECT = ("forget", "metrics", "oracle_run_id", "run_ids", "oracle_run_ids")


def detect(request: Request) -> None:
    """Ask a detector which training samples of a finished network look poisoned."""
    options = EvaluateOptions.of(request.entry)
    _refuse_other_measurements(options)
    search = Search(str(options.suspects), request)
    device = checked_device(DeviceOptions.of(request.device))
    store = connect()
    checkpoint, dataset = _network(store, options, request)
    search.detector.label(dataset)  # refuses a class that is not there
    run = make_run(device)
    title = f"suspects of {(options.run_id or 'a file')[:8]}"

    def work(recorder: Recorder) -> dict[str, float]:
        recorder.params({**options.as_dict(), **search.options(), **stated_options(dataset)})
        recorder.tags({tags.UPSTREAM: options.run_id} if options.run_id else {})
        recorder.tags({tags.DATA: fingerprint_tag(dataset.fingerprint)})
        log_data(recorder, dataset)
        found = search.run(checkpoint, dataset, run)
        record_threads(recorder, run)
        if isinstance(dataset, AttackedDataset):
            run.note(f"ASR is of {dataset.attack.in_words(dataset)}")
        numbers = {**quality(found, dataset), **backdoor(checkpoint.model, dataset, run)}
        metrics = {name: rounded(value) for name, value in numbers.items()}
        recorder.metrics(metrics)
        search.save(recorder, dataset)
        write_json(recorder.folder / "metrics.json", metrics)
        text = prose.describe_suspects(
            about(checkpoint),
            search.detector.name,
            COLUMNS,
            _texts(found, dataset, ON_PAGE),
            metrics,
            run.notes,
            _next(options, recorder.run_id, found),
        )
        recorder.describe(text)
        write_text(recorder.folder / "report" / "summary.md", text)
        return metrics

    run_id, metrics = run_task(store, "evaluate", title, work)
    assert search.found is not None
    count = len(search.found.numbers)
    console.print_texts(
        f"{search.detector.name} on {about(checkpoint)}: {count} suspects"
        + (f", the first {FIRST}" if count > FIRST else ""),
        COLUMNS,
        _texts(search.found, dataset, FIRST),
        "rrllr",
        plain=True,
    )
    console.print_notes([*run.notes, *_in_words(metrics)])
    lines = {"model": options.run_id or str(options.checkpoint), "suspects": run_id}
    lines |= _next(options, run_id, search.found)
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


def _network(
    store: Store, options: EvaluateOptions, request: Request
) -> tuple[Checkpoint, ImageDataset]:
    """The network of a run or of a folder, and its data with the attack that was stated."""
    run_id, folder = options.run_id, options.checkpoint
    if (run_id is None) == (folder is None):
        raise UserError("give run_id or checkpoint, one of them: the model that is to be searched")
    checkpoint = (
        Checkpoint.load(Path(str(folder)).expanduser())
        if run_id is None
        else fetch_checkpoint(store, run_id)
    )
    dataset = data_of(checkpoint.spec, {"data_dir": options.data_dir})
    return checkpoint, stated(dataset, request, run_id or str(folder))


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


def _in_words(metrics: Mapping[str, Any]) -> list[str]:
    shown = ("suspects_precision", "suspects_recall", "ASR", "ASR_source", "robust_acc")
    words = [f"{name} {metrics[name]:.1f} %" for name in shown if name in metrics]
    return [", ".join(words)] if words else []
