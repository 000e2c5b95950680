"""The entry transfer: unlearn or find it done, train each network on for the target, compare."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from mu import tags
from mu.checkpoints import Checkpoint, Spec
from mu.cli.requests import TRANSFER_PREFIX, DeviceOptions, Request, TransferOptions
from mu.data import load_data
from mu.data.images import ImageDataset
from mu.errors import UserError
from mu.evaluation.gap import GAP_METRICS
from mu.evaluation.outputs import Outputs, predict
from mu.evaluation.paired import accuracy_difference
from mu.hyperparameters import typed_as
from mu.report import console, plots, prose
from mu.report import transfer as page
from mu.report.alarms import tag_of, texts
from mu.report.markdown import links_list, paragraphs
from mu.report.next_steps import next_steps
from mu.report.run_names import run_name
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks.base import checked_device, device_in_force, make_run, record_rounding, run_task
from mu.tasks.outputs import about, save_network, write_json
from mu.tasks.problem import TrackedModel
from mu.tasks.transfer_models import Models, Source, make_source
from mu.tracking import Recorder, Store, browse, registered_as
from mu.training import Training
from mu.training.loop import DivergedError
from mu.transfer.checkpoint import check_target, transfer_training, transferred

ENDINGS = ("_before", "", "_oracle")  # of the numbers of original, unlearned network and oracle
COPIED = (*GAP_METRICS, *(f"{name}{ENDINGS[0]}" for name in GAP_METRICS), "gap", "RTE")


@dataclass(frozen=True)
class TransferTask:
    """A transfer that is to be done."""

    options: TransferOptions
    source: Source
    target: ImageDataset
    training: Training
    device: DeviceOptions

    def config(self) -> dict[str, Any]:
        """What the run records before anything is made."""
        recipe = self.source.spec.recipe
        return {
            "target": self.target.name,
            "target_dir": self.target.data_dir,
            "tune": self.options.tune,
            **{TRANSFER_PREFIX + name: value for name, value in self.training.as_dict().items()},
            "seed": self.options.seed,
            "method": self.source.method_name,
            "dataset": self.source.spec.data.name,
            "arch": recipe.model.arch,
            "prune_rate": recipe.pruning["rate"],
            "image_size": recipe.model.image_size,
        }


@dataclass(frozen=True)
class Outcome:
    """A network after its transfer."""

    checkpoint: Checkpoint
    test: Outputs  # on the target's test images
    accuracies: Mapping[str, float]  # on the target, in percent
    seconds: float  # of its training
    run: Run


@dataclass(frozen=True)
class Findings:
    """What the run found: the networks, the numbers of each and of the run, and remarks."""

    models: Models
    rows: Mapping[str, Mapping[str, float]]
    metrics: Mapping[str, float]
    notes: list[str]


def transfer(request: Request) -> None:
    """Make an original forget, train it on for a target, and compare with the original."""
    task = _make_task(request)
    store = task.source.store
    title = run_name("transfer", task.source.method_name, task.target.name)
    done = run_task(store, "transfer", title, partial(_work, task), register=task.options.register)
    _print(store, task, *done)


def _work(task: TransferTask, recorder: Recorder) -> Findings:
    """Unlearn or find it done, train every network on for the target, and keep what came of it."""
    recorder.params(task.config())
    models = task.source.models(recorder.run_id)
    outcomes = {
        role: _outcome(task, role, model, recorder if model is models.unlearned else None)
        for role, model in models.by_role().items()
    }
    found = _compared(task, models, outcomes)
    _save(recorder, task, outcomes[models.method], found)
    return found


def _make_task(request: Request) -> TransferTask:
    """What was requested, checked as far as it can be: the cheap first."""
    options = TransferOptions.of(request.entry)
    if options.target is None:
        raise UserError(
            "give target, the data set to train on for: target=imagefolder with target_dir=DIR, say"
        )
    with typed_as(TRANSFER_PREFIX, Training.names()):
        training = transfer_training(options.target, options.tune, **request.training)
    device = checked_device(DeviceOptions.of(request.device))
    source = make_source(options, request, device)
    target = _load_target(options, source.spec, request.original.get("workers"))
    check_target(source.spec, target, source.shape)
    return TransferTask(options, source, target, training, device)


def _load_target(options: TransferOptions, spec: Spec, workers: int | None) -> ImageDataset:
    """The target, its images as large as the source's where they can be made so."""
    from mu.data import source as source_of

    assert options.target is not None
    size = spec.recipe.model.image_size if source_of(options.target).resizes else None
    folder, stream = options.target_dir, options.target_stream
    try:
        return load_data(options.target, folder, size, stream=stream, workers=workers)
    except UserError as error:  # which names the options of a source
        names = {"data_dir": "target_dir", "dataset": "target", "stream": "target_stream"}
        # Not what a function of the user's own must accept: "data_dir and image_size by name".
        pattern = r"\bdata_dir\b(?! and)|\b(?:dataset|stream)(?==)"
        text = re.sub(pattern, lambda found: names[found[0]], str(error))
        raise UserError(text) from error


def _outcome(
    task: TransferTask, role: str, model: TrackedModel, recorder: Recorder | None
) -> Outcome:
    """The transfer of one network; ``recorder`` logs its curves, where they are kept."""
    run, target = make_run(task.device, recorder, task.options.seed), task.target
    label, tune = f"transfer of {role}", task.options.tune
    try:
        with run.stopwatch() as seconds:
            found = transferred(
                model.checkpoint, target, task.training, run, tune=tune, label=label
            )
    except DivergedError as error:
        raise UserError(
            f"{label} to {target.name}: the loss is NaN or infinite; lower "
            f"{TRANSFER_PREFIX}lr={task.training.lr:g}"
        ) from error
    seen = found.spec.data.bind(target)
    test = predict(found.model, seen.test_subset(), run)
    train = predict(found.model, seen.training_subset(np.arange(len(seen.train))), run)
    accuracies = {"target_acc": test.accuracy(), "target_train_acc": train.accuracy()}
    return Outcome(found, test, accuracies, seconds[0], run)


def _compared(task: TransferTask, models: Models, outcomes: Mapping[str, Outcome]) -> Findings:
    """Every network compared with the original; the numbers of the unlearning are copied."""
    before, unlearned = outcomes["original"], models.unlearned
    rows: dict[str, dict[str, float]] = {}
    metrics = {name: unlearned.metrics[name] for name in COPIED if name in unlearned.metrics}
    for (role, model), ending in zip(models.by_role().items(), ENDINGS, strict=False):
        one = outcomes[role]
        numbers = {name: rounded(value) for name, value in one.accuracies.items()}
        if model is not models.original:
            gain = accuracy_difference(one.test, before.test)
            numbers["target_gain"] = rounded(gain.value)
        if model is unlearned:
            metrics |= {"target_gain_lo": rounded(gain.low), "target_gain_hi": rounded(gain.high)}
            metrics["transfer_s"] = rounded(one.seconds)
            metrics["sparsity"] = rounded(one.checkpoint.mask.sparsity)
        metrics |= {f"{name}{ending}": value for name, value in numbers.items()}
        shown = {name: model.metrics[name] for name in page.COLUMNS if name in model.metrics}
        rows[role] = {**shown, **numbers}
    notes = []
    if metrics["target_gain_lo"] <= 0 <= metrics["target_gain_hi"]:
        notes.append(
            f"{len(task.target.test)} test images do not tell the unlearned network's accuracy on "
            "the target from the original's"
        )
    if models.oracle is None and models.method != "retrain":
        notes.append("no oracle to compare with; add oracle_run_id=train to make one")
    return Findings(models, rows, metrics, notes)


def _save(recorder: Recorder, task: TransferTask, outcome: Outcome, found: Findings) -> None:
    folder, models = recorder.folder, found.models
    made = {
        "forget": models.forget,
        "prune_run_id": models.original.run_id,
        "unlearn_run_id": models.unlearned.run_id,
        "oracle_run_id": models.oracle.run_id if models.oracle else "none",
    }
    recorder.params(made)
    record_rounding(recorder, outcome.run)
    recorder.metrics(found.metrics)
    text = paragraphs(
        f"**Transfer** to `{task.target.name}`: `{models.method}` made the source model forget "
        f"`{models.forget}`, then each network below was trained on in the same way from the same "
        f"new head. {page.WHAT[task.options.tune]}.",
        prose.table_of(page.COLUMNS, found.rows),
        "Gain of the unlearned network over the original: "
        f"**{page.gain_in_words(found.metrics)}**.",
        *(f"> {note}" for note in (*prose.warned(models.alarms), *found.notes)),
        links_list(models.links()),
        page.READ,
    )
    more = {tags.UPSTREAM: models.unlearned.run_id, tags.FORGET: models.forget_tag}
    more |= {tags.ORACLE: models.oracle.run_id} if models.oracle else {}
    more[tags.WARNINGS] = tag_of(models.alarms)
    save_network(recorder, outcome.checkpoint, found.metrics, text, more)
    device = device_in_force(task.device, outcome.run)
    write_json(folder / "config.json", {**task.config(), **made, **device})
    plots.plot_history(outcome.run, folder / "plots" / "training.png")
    page.plot_transfer(found.rows, task.target.name, folder / "plots" / "target.png")


def _print(store: Store, task: TransferTask, run_id: str, found: Findings) -> None:
    target = task.target
    console.print_table(
        f"{about(found.models.original.checkpoint)}, forgets {found.models.forget}; "
        f"then tune={task.options.tune} on {target.name} "
        f"({len(target.train)} training, {len(target.test)} test images)",
        page.COLUMNS,
        found.rows,
    )
    console.print_warnings(texts(found.models.alarms))
    console.print_notes(found.notes)
    console.print_lines(
        {
            **found.models.links(),
            "transfer": run_id,
            "gain": page.gain_in_words(found.metrics),
            **next_steps("transfer", run_id, registered_as(store, run_id)),
            "browse": browse(store, "mu-transfer"),
        }
    )
