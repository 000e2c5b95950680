"""The entry evaluate: find the model and its oracle, measure, add to the model's run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from mu import tags
from mu.alike import check_alike, check_ids
from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, EvaluateOptions, Request
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import Indices
from mu.data.splits import Split
from mu.detection import PREFIX
from mu.errors import UserError
from mu.evaluation.case import Case, Model
from mu.evaluation.measurements import (
    Selection,
    check_needs,
    is_depth,
    measurements,
    oracles_numbers,
    to_oracle,
)
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import predict_split
from mu.report import console, outcome_plots, prose
from mu.report.alarms import Alarm, Result, alarms, alarms_of, tag_of, texts
from mu.report.metrics import print_metrics
from mu.runs import Run
from mu.tasks.attacks import stated, stated_options
from mu.tasks.base import checked_device, make_run, record_threads, run_task
from mu.tasks.detect import detect
from mu.tasks.listed import forget_split, resolved
from mu.tasks.outputs import about, write_json, write_text
from mu.tasks.problem import UnlearningProblem
from mu.tasks.resolve import check_oracle_run, data_of, oracle_of, problem_of
from mu.tracking import (
    UNLEARNED,
    Recorder,
    Store,
    browse,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
    finished_run,
    log_to,
    read_each,
    read_run,
    rounded,
)
from mu.tracking.reader import record_of

Numbers = tuple[dict[str, float], dict[str, float]]  # of the model and of its oracle


@dataclass(frozen=True)
class Subject:
    """The model that is measured, and where it comes from."""

    checkpoint: Checkpoint
    split: ForgetSplit
    forget: str
    run_id: str | None = None  # these two where it is a run's, not a folder's
    problem: UnlearningProblem | None = None
    oracle_run_id: str | None = None  # what the run was compared with when it was made


def evaluate(request: Request) -> None:
    """Measure what was requested; everything that can be checked is checked before a run opens."""
    options = EvaluateOptions.of(request.entry)
    if options.suspects is not None:
        detect(request)
        return
    if request.suspects:
        name = next(iter(request.suspects))
        raise UserError(f"{PREFIX}{name} is a setting of a detector; give suspects=spectral, too")
    selection = Selection.parse(options.metrics)
    device = checked_device(DeviceOptions.of(request.device))
    store = connect()
    subject = _attacked(_subject(store, options, device), request)
    oracle_id = _oracle_id(store, options.oracle_run_id, subject)
    others, oracles = (
        [word.strip() for word in (text or "").split(",") if word.strip()]
        for text in (options.run_ids, options.oracle_run_ids)
    )
    _check_further(store, subject, oracle_id, others, oracles)
    run = make_run(device, seed=options.seed)
    case = _case(store, subject, oracle_id, others, oracles, run)
    check_needs(case, selection)
    title = f"evaluates {(subject.run_id or 'a file')[:8]}"

    def work(recorder: Recorder) -> tuple[Numbers, list[Alarm]]:
        recorder.params({**options.as_dict(), "oracle_run_id": oracle_id or "none"})
        recorder.params(stated_options(subject.split.dataset))
        record_threads(recorder, run)
        recorder.tags({tags.UPSTREAM: subject.run_id} if subject.run_id else {})
        recorder.tags({tags.ORACLE: oracle_id} if oracle_id else {})
        found = {name: rounded(value) for name, value in measurements(case, selection).items()}
        theirs = {n: rounded(v) for n, v in oracles_numbers(case, found).items()}
        numbers = found, theirs
        warnings = _alarms(store, subject, numbers, oracle_id)
        _save(recorder, subject, case, numbers, oracle_id, warnings)
        if options.add and subject.run_id:
            _add(recorder, subject, oracle_id, found, run, warnings)
        return numbers, warnings

    run_id, (numbers, warnings) = run_task(store, "evaluate", title, work)
    what = f"{subject.checkpoint.spec.history[-1]} on {about(subject.checkpoint)}"
    print_metrics(f"{what}: forget {subject.forget}", *numbers)
    alone = [] if oracle_id else ["no oracle, so nothing to compare with; give oracle_run_id"]
    console.print_warnings(texts(warnings))
    console.print_notes([*run.notes, *alone])
    lines = {"model": subject.run_id or str(options.checkpoint), "evaluation": run_id}
    lines |= {"oracle": oracle_id} if oracle_id else {}
    console.print_lines({**lines, "browse": browse(store, run_id=run_id)})


# --- the model ----------------------------------------------------------------------------


def _subject(store: Store, options: EvaluateOptions, device: DeviceOptions) -> Subject:
    """The model of a run or of a folder."""
    run_id, forget = options.run_id, options.forget
    if (run_id is None) == (options.checkpoint is None):
        raise UserError("give run_id or checkpoint, one of them: the model that is to be measured")
    if run_id is None:
        return _of_folder(store, Path(str(options.checkpoint)).expanduser(), options)
    run = record_of(store, finished_run(store, run_id))
    if run.entry in UNLEARNED:
        if forget is not None:
            raise UserError(
                f"forget={forget}: run {run_id} has unlearned its own forget set; leave forget out"
            )
        problem, oracle_id = problem_of(store, run, device, options.data_dir), run.oracle_run_id
        checkpoint = fetch_checkpoint(store, run_id)
        return Subject(checkpoint, problem.split, problem.forget, run_id, problem, oracle_id)
    if forget is None:
        raise UserError(f"run {run_id} has unlearned nothing; give forget=class:3, say, beside it")
    checkpoint = fetch_checkpoint(store, run_id)
    dataset = data_of(checkpoint.spec, {"data_dir": options.data_dir})
    split = forget_split(lambda: store, checkpoint.spec, dataset, ForgetRequest.parse(forget))
    problem = UnlearningProblem(run_id, checkpoint, dataset, split, forget, device)
    return Subject(checkpoint, split, forget, run_id, problem)


def _attacked(subject: Subject, request: Request) -> Subject:
    """The subject, with the attack that was stated, if one was."""
    where = subject.run_id or str(request.entry.get("checkpoint"))
    dataset = stated(subject.split.dataset, request, where)
    if dataset is subject.split.dataset:
        return subject
    split = replace(subject.split, dataset=dataset)
    problem = subject.problem and replace(subject.problem, dataset=dataset, split=split)
    return replace(subject, split=split, problem=problem)


def _of_folder(store: Store, folder: Path, options: EvaluateOptions) -> Subject:
    """A model from files; what its spec says was removed is its forget set, unless one is given."""
    checkpoint = Checkpoint.load(folder)
    spec = checkpoint.spec
    dataset = data_of(spec, {"data_dir": options.data_dir})
    chosen: Indices = (removed := np.array(spec.removed, np.int64))
    parts = spec.split(dataset)
    whole = Split(np.sort(np.concatenate([parts.train, removed])), parts.val, parts.unused)
    if options.forget is not None:
        seed = spec.recipe.split.split_seed
        request = resolved(lambda: store, ForgetRequest.parse(options.forget), dataset)
        chosen = request.cut(dataset, whole, seed).forget
        if len(removed) and not np.array_equal(np.sort(chosen), removed):
            raise UserError(
                f"forget={options.forget}: the model in {str(folder)!r} has unlearned other "
                f"samples ({len(removed)} of them); leave forget out"
            )
    if not len(chosen):
        raise UserError(
            f"the model in {str(folder)!r} has unlearned nothing; give forget=class:3, say"
        )
    forget = options.forget or f"{len(removed)} samples"
    return Subject(checkpoint, ForgetSplit.of(dataset, whole, chosen), forget)


# --- what it is compared with -------------------------------------------------------------


def _oracle_id(store: Store, requested: str, subject: Subject) -> str | None:
    """The run of the oracle, or None; a model from files has only one that is named.

    An oracle is found another one, not itself, unless that is requested.
    """
    problem = subject.problem
    if problem is not None:
        return oracle_of(store, requested, lambda: problem, subject.oracle_run_id, subject.run_id)
    if requested in ("find", "none"):
        return None
    check_oracle_run(store, requested, None)
    _check_same_forget_set(store, requested, subject)
    return requested


def _check_same_forget_set(store: Store, run_id: str, subject: Subject) -> None:
    """Refuse a run that has not unlearned the samples that the model has."""
    forgotten = finished_run(store, run_id).data.tags.get(tags.FORGET)
    if forgotten != fingerprint_tag(subject.split.fingerprint):
        raise UserError(f"run {run_id} has not unlearned the same samples; leave it out")


def _check_further(
    store: Store, subject: Subject, oracle_id: str | None, others: list[str], oracles: list[str]
) -> None:
    """Refuse further runs that are no other seeds of the model, or no other oracles."""
    # An oracle may be compared with itself, but a distribution needs different ones.
    for own in (subject.run_id, oracle_id):
        check_ids([one for one in (own, *others, *oracles) if one])
    for run_id in (*others, *oracles):
        _check_same_forget_set(store, run_id, subject)
    for run_id in oracles:
        check_oracle_run(store, run_id, subject.problem)
    if others and subject.run_id:
        check_alike(read_each(store, [subject.run_id, *others]))


def _case(
    store: Store,
    subject: Subject,
    oracle_id: str | None,
    others: list[str],
    oracles: list[str],
    run: Run,
) -> Case:
    """Pass the data through every model that is needed, each once."""

    def passed(checkpoint: Checkpoint) -> Model:
        return Model(checkpoint, predict_split(checkpoint.model, subject.split, run))

    def outputs(run_ids: list[str]) -> list[SplitOutputs]:
        return [passed(fetch_checkpoint(store, one)).outputs for one in run_ids]

    model, problem = passed(subject.checkpoint), subject.problem
    oracle = passed(fetch_checkpoint(store, oracle_id)) if oracle_id else None
    return Case(
        model,
        subject.split,
        run,
        subject.checkpoint.spec.recipe.split.split_seed,
        Model(problem.checkpoint, problem.before) if problem else None,
        oracle,
        [model.outputs, *outputs(others)],
        [*([oracle.outputs] if oracle else []), *outputs(oracles)],
    )


# --- what is kept -------------------------------------------------------------------------


def _alarms(store: Store, subject: Subject, numbers: Numbers, oracle_id: str | None) -> list[Alarm]:
    """What must be known before the numbers are trusted: by them, and by what was logged before."""
    found, theirs = numbers
    oracle = {**(store.run(oracle_id).data.metrics if oracle_id else {}), **theirs}
    if subject.run_id is None or subject.problem is None:
        return alarms(Result(found, {}, oracle))
    if subject.checkpoint is subject.problem.checkpoint:  # an original
        return alarms(Result(found, found, oracle))
    run = read_run(store, subject.run_id)
    return alarms_of(replace(run, metrics={**run.metrics, **found}), oracle)


def _save(
    recorder: Recorder,
    subject: Subject,
    case: Case,
    numbers: Numbers,
    oracle_id: str | None,
    warnings: Sequence[Alarm],
) -> None:
    found, theirs = numbers
    recorder.tags({tags.WARNINGS: tag_of(warnings)})
    recorder.metrics({**found, **{f"{name}_oracle": value for name, value in theirs.items()}})
    write_json(recorder.folder / "metrics.json", {"model": found, "oracle": theirs})
    outcome_plots.plot_all(case, recorder.folder / "plots")
    text = prose.describe_evaluation(
        subject.run_id, subject.forget, found, theirs, oracle_id, prose.warned(warnings)
    )
    recorder.describe(text)
    summary = f"{text}\n{prose.define_metrics(found)}"
    write_text(recorder.folder / "report" / "summary.md", summary)


def _add(
    recorder: Recorder,
    subject: Subject,
    oracle_id: str | None,
    found: Mapping[str, float],
    run: Run,
    warnings: Sequence[Alarm],
) -> None:
    """Add what was found to the measured run, but nothing that would contradict what it says.

    Its distances are to the oracle that its tag names, so those to another one are kept in the
    evaluation's own run; an oracle has none of its own.
    """
    store, run_id = recorder.store, str(subject.run_id)
    if subject.problem is None or subject.checkpoint is subject.problem.checkpoint:
        run.note("the numbers are in the evaluation's run: an original's are of no one forget set")
        return
    if run.seed and any(map(is_depth, found)):  # every run's is of seed 0, and so comparable
        found = {name: value for name, value in found.items() if not is_depth(name)}
        run.note(f"the depth with seed={run.seed} is in the evaluation's run only")
    is_oracle = tags.ORACLE_KEY in store.run(run_id).data.tags
    linked = subject.oracle_run_id or (None if is_oracle else oracle_id)
    if oracle_id and oracle_id != linked:
        found = {name: value for name, value in found.items() if not to_oracle(name)}
        run.note(
            f"distances to oracle {oracle_id} are in the evaluation's run only: the measured run "
            + ("is an oracle itself" if is_oracle else f"is compared with {linked}")
        )
    elif oracle_id and not subject.oracle_run_id:
        store.client.set_tag(run_id, tags.ORACLE, oracle_id)
        store.client.set_tag(run_id, tags.WARNINGS, tag_of(warnings))
    log_to(store, run_id, found, recorder.folder / "plots", recorder.run_id)
