"""The entry lira: train references one by one, attack the models with them, keep the results."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, LiraOptions, Request
from mu.errors import UserError
from mu.evaluation import references as attacks
from mu.evaluation.attacks.exposure import FEWEST_REFERENCES
from mu.evaluation.challenge import Challenge, default_retained
from mu.evaluation.records import exposed_shares, mean_memorisations, records_of
from mu.evaluation.references import (
    MODELS_FILE,
    Reference,
    View,
    make_reference,
    reference_file,
    save_models,
    view_of,
)
from mu.methods.base import unlearn
from mu.originals.rounds import train_network
from mu.report import console
from mu.report import lira as page
from mu.report.markdown import items, links_list, markdown_table, paragraphs
from mu.report.run_names import brief_forget, run_name
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks.base import checked_device, device_in_force, make_run, record_rounding, run_task
from mu.tasks.lira_task import LiraTask
from mu.tasks.outputs import about, write_csv, write_json
from mu.tasks.records import RECORDS_FILE, WORST, notes_on, rows_of, worst
from mu.tasks.resolve import oracle_of, problem_of, unlearn_run
from mu.tasks.resume import interrupted, kept_device, overrides, resumed_on
from mu.tracking import (
    Recorder,
    Stopped,
    Store,
    browse,
    connect,
    fetch_checkpoint,
    keep_document,
)
from mu.tracking.artifacts import read

if TYPE_CHECKING:
    from mlflow.entities import Run as MlflowRun

AT_ONCE = 0.5  # seconds within which a reference can only have been a kept one
# Endings of the numbers of each model.
ENDINGS = {"original": "_before", "unlearned": "", "oracle": "_oracle"}
Rows = dict[str, Mapping[str, float]]


@dataclass(frozen=True)
class Found:
    """What the attacks found."""

    rows: Rows  # numbers by model
    records: Sequence[Mapping[str, Any]]  # a row for each training sample under attack
    notes: Sequence[str]

    @property
    def worst(self) -> Sequence[Mapping[str, Any]]:
        """The forgotten records that are most exposed."""
        return worst(self.records)


def lira(request: Request) -> None:
    """Attack an unlearned model with reference models (LiRA, U-LiRA, RMIA)."""
    options = LiraOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    store = connect()
    if options.resume_run_id:
        task = _interrupted_task(store, options.resume_run_id, options, request.device)
    else:
        task = _make_task(store, options, device)
        if options.unlearn_run_id == "auto":
            print(f"unlearned: run {task.run.run_id}, the newest that is no oracle")
    title = run_name("lira", task.run.method, brief_forget(task.problem.forget))
    done = run_task(store, "lira", title, partial(_work, task), resume=options.resume_run_id)
    _print(store, task, *done)


def _make_task(
    store: Store, options: LiraOptions, device: DeviceOptions, resume: MlflowRun | None = None
) -> LiraTask:
    """Everything that the attack needs, checked before a run is opened."""
    run = unlearn_run(store, options.unlearn_run_id)
    made = run.make_method()
    method = None if run.method == "retrain" else made
    problem = problem_of(store, run, device, options.data_dir)
    models = {"original": problem.checkpoint, "unlearned": fetch_checkpoint(store, run.run_id)}
    oracle = None
    if method is not None:
        oracle = oracle_of(store, options.oracle_run_id, lambda: problem, run.oracle_run_id)
    if oracle is not None:
        models["oracle"] = fetch_checkpoint(store, oracle)
    retained = options.retain_sample
    if retained is None:
        retained = default_retained(problem.split)
    # Refuses a forget set that is too small.
    challenge = Challenge.of(problem.split, options.seed, retained)
    return LiraTask(options, run, method, problem, models, oracle, challenge, resume)


def _interrupted_task(
    store: Store, run_id: str, options: LiraOptions, device: Mapping[str, Any]
) -> LiraTask:
    """The attack of an interrupted run; its references are not trained again."""
    found = interrupted(store, run_id, "lira")
    kept = {"retain_sample": 0, **found.document}  # earlier versions attacked no retained samples
    where = resumed_on(found, kept, overrides(options), device)
    options_then = {name: kept[name] for name in kept if name not in kept_device(kept)}
    again = LiraOptions.of({**options_then, "data_dir": options.data_dir or kept["data_dir"]})
    return _make_task(store, again, where, found.run)


def _work(task: LiraTask, recorder: Recorder) -> Found:
    if task.resume is None:
        keep_document(recorder, task.document())
    recorder.params(task.config())
    recorder.tags({tags.UPSTREAM: task.run.run_id, tags.ORACLE: task.oracle_run_id})
    recorder.tags(task.problem.tags())
    run = make_run(task.problem.device)
    run.place(task.problem.checkpoint.model, task.problem.dataset.shape)
    record_rounding(recorder, run, resumed=task.resume is not None)
    for text in run.notes:
        _say(f"note: {text}")
    try:
        numbers = _with_progress(task.options.references)
        references = [_reference(recorder, task, one) for one in numbers]
        return _attack(recorder, task, references, run)
    except (KeyboardInterrupt, Stopped):
        _say(f"to continue with the references that are kept: -P resume_run_id={recorder.run_id}")
        raise


def _with_progress(count: int) -> Iterator[int]:
    """The numbers of the references; prints after each how fast the new ones go."""
    trained, spent = 0, 0.0
    for number in range(count):
        start = time.monotonic()
        yield number
        passed = time.monotonic() - start
        text = f"reference {number + 1} of {count}"
        if passed > AT_ONCE:
            trained, spent = trained + 1, spent + passed
        if trained:
            each = spent / trained
            text += f": {60 / each:.1f} a minute, {each * (count - number - 1):.0f} s to go"
        _say(text)


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _reference(recorder: Recorder, task: LiraTask, number: int) -> Reference:
    """Reference ``number``: the one that an interrupted process kept, or a new one, kept now."""
    if task.resume is not None and (kept := _kept(recorder, task, number)):
        return kept
    run = make_run(task.problem.device, seed=task.challenge.seed_of(number))
    forget = None if task.method is None else partial(unlearn, task.method)
    with run.stopwatch() as seconds:
        found = make_reference(
            task.problem.checkpoint, task.challenge, number, run, train_network, forget
        )
    recorder.metrics({"reference_s": seconds[0]}, number)
    recorder.put(reference_file(number), found.to_bytes())
    return found


def _kept(recorder: Recorder, task: LiraTask, number: int) -> Reference | None:
    """The reference that is among the run's artifacts; None where it is missing or damaged."""
    assert task.resume is not None
    unlearned = task.method is not None
    try:
        content = read(recorder.store, task.resume, reference_file(number))
        return Reference.from_bytes(content, task.challenge, number, unlearned=unlearned)
    except UserError:  # it was not kept
        return None
    except ValueError as error:
        _say(f"{reference_file(number)} is trained again: {error}")
        return None


def _attack(recorder: Recorder, task: LiraTask, references: list[Reference], run: Run) -> Found:
    """Attack every model, and write everything that the run keeps."""
    views, folder = {name: _view(task, one) for name, one in task.models.items()}, recorder.folder
    scores = attacks.attack_all(views, references, len(task.challenge.members), task.options.gamma)
    parts, dataset = records_of(views, references, task.challenge), task.problem.dataset
    rows: Rows = {
        name: _rounded(
            {
                **attacks.attack_rates(scores, name, task.options.seed),
                **exposed_shares(parts, name),
            }
        )
        for name in views
    }
    whole = bool(task.problem.split.forgotten_classes)
    notes = notes_on(parts, len(references), whole_class=whole)
    found = Found(rows, rows_of(parts, dataset), notes)
    metrics = {f"{n}{ENDINGS[name]}": v for name, row in rows.items() for n, v in row.items()}
    metrics |= _rounded(mean_memorisations(parts))
    recorder.metrics(metrics)
    write_json(folder / "metrics.json", metrics)
    device = device_in_force(task.problem.device, run)
    write_json(folder / "config.json", {**task.config(), **device})
    write_csv(folder / RECORDS_FILE, found.records)
    save_models(folder / MODELS_FILE, task.challenge, views, len(dataset.train))
    page.plot_roc(scores, folder / "plots" / "roc.png")
    sizes = task.sizes()
    text = paragraphs(
        f"**Membership attacks** on {task.run.method}, which made {about(task.problem.checkpoint)} "
        f"forget: {sizes['members']:,} forgotten samples against {sizes['non_members']:,} test "
        f"images of the same classes, with {sizes['references']} reference models and a population "
        f"of {sizes['population']:,}.",
        markdown_table(*page.table_of(rows, page.COLUMNS)),
        "Unlearning is to bring the original's numbers down to the oracle's, which never saw the "
        "samples.",
        links_list(task.links()),
        items(page.DEFINITIONS),
        page.describe_records(rows, metrics, found.worst, found.notes),
    )
    recorder.describe(text)
    return found


def _rounded(row: Mapping[str, float]) -> dict[str, float]:
    return {name: rounded(value) for name, value in row.items()}


def _view(task: LiraTask, checkpoint: Checkpoint) -> View:
    return view_of(checkpoint.model, task.challenge, make_run(task.problem.device))


def _print(store: Store, task: LiraTask, run_id: str, found: Found) -> None:
    sizes, what = task.sizes(), about(task.problem.checkpoint)
    page.print_attacks(
        f"attacks on {task.run.method} on {what}: {sizes['members']} forgotten samples "
        f"against {sizes['non_members']} test images, {sizes['references']} references",
        found.rows,
    )
    page.print_exposed(found.rows)
    page.print_worst(found.worst)
    notes = list(found.notes)
    if sizes["references"] < FEWEST_REFERENCES:
        notes.append(
            f"{sizes['references']} references: standard deviations are estimated from few "
            f"values, so LiRA finds less than it could; take {FEWEST_REFERENCES} or more"
        )
    if "oracle" not in found.rows and task.method is not None:
        notes.append("no oracle to compare with; make one: unlearn, method=retrain")
    console.print_notes(notes)
    lines = {**task.links(), "attacks": run_id}
    if found.records:
        lines["forget most memorised"] = f"-P forget=vulnerable:{WORST}:{run_id}"
    console.print_lines({**lines, "browse": browse(store, run_id=run_id)})
