"""The entry evaluate: find the model and its oracle, measure, add to the model's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from mu import tags
from mu.alike import check_alike, check_ids
from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, EvaluateOptions, Request
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
from mu.report.markdown import markdown_table, paragraphs
from mu.report.metrics import main_names, number_cells, print_metrics
from mu.report.run_names import ID_SHOWN, run_name
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks.attacks import stated_options
from mu.tasks.base import checked_device, make_run, record_rounding, run_task
from mu.tasks.detect import detect
from mu.tasks.outputs import about, keep_results
from mu.tasks.resolve import check_oracle_run, oracle_of
from mu.tasks.subject import Subject, subject_of
from mu.tracking import (
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
)


@dataclass(frozen=True)
class Evaluation:
    """What is measured, and what it is compared with: IDs of runs."""

    store: Store
    subject: Subject
    oracle_id: str | None
    others: list[str]  # other seeds of the same unlearning
    oracles: list[str]  # further ones

    def check(self) -> None:
        """Refuse further runs that are no other seeds of the model, or no other oracles."""
        further = [*self.others, *self.oracles]
        # An oracle may be compared with itself, but a distribution needs different ones.
        for own in (self.subject.run_id, self.oracle_id):
            check_ids([one for one in (own, *further) if one])
        for run_id in further:
            _check_same_forget_set(self.store, run_id, self.subject)
        for run_id in self.oracles:
            check_oracle_run(self.store, run_id, self.subject.problem)
        if self.others and self.subject.run_id:
            check_alike(read_each(self.store, [self.subject.run_id, *self.others]))

    def case(self, run: Run) -> Case:
        """Pass the data through every model that is needed, each once."""
        subject = self.subject

        def passed(checkpoint: Checkpoint) -> Model:
            return Model(checkpoint, predict_split(checkpoint.model, subject.split, run))

        def outputs(run_ids: list[str]) -> list[SplitOutputs]:
            return [passed(fetch_checkpoint(self.store, one)).outputs for one in run_ids]

        model, problem = passed(subject.checkpoint), subject.problem
        oracle = passed(fetch_checkpoint(self.store, self.oracle_id)) if self.oracle_id else None
        return Case(
            model,
            subject.split,
            run,
            subject.checkpoint.spec.recipe.split.split_seed,
            Model(problem.checkpoint, problem.before) if problem else None,
            oracle,
            [model.outputs, *outputs(self.others)],
            [*([oracle.outputs] if oracle else []), *outputs(self.oracles)],
        )


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
    subject = subject_of(store, options, request, device)
    oracle_id = _oracle_id(store, options.oracle_run_id, subject)
    others, oracles = (
        [word.strip() for word in (text or "").split(",") if word.strip()]
        for text in (options.run_ids, options.oracle_run_ids)
    )
    evaluation = Evaluation(store, subject, oracle_id, others, oracles)
    evaluation.check()
    run = make_run(device, seed=options.seed)
    case = evaluation.case(run)
    check_needs(case, selection)

    def work(recorder: Recorder) -> tuple[dict[str, float], dict[str, float], list[Alarm]]:
        recorder.params({**options.as_dict(), "oracle_run_id": oracle_id or "none"})
        recorder.params(stated_options(subject.split.dataset))
        record_rounding(recorder, run)
        recorder.tags({tags.UPSTREAM: subject.run_id, tags.ORACLE: oracle_id})
        found = {name: rounded(value) for name, value in measurements(case, selection).items()}
        theirs = {n: rounded(v) for n, v in oracles_numbers(case, found).items()}
        warnings = _alarms(evaluation, found, theirs)
        recorder.tags({tags.WARNINGS: tag_of(warnings)})
        recorder.metrics({**found, **{f"{name}_oracle": value for name, value in theirs.items()}})
        outcome_plots.plot_all(case, recorder.folder / "plots")
        held = f" Held against the oracle of run `{oracle_id}`." if oracle_id else ""
        of = f"run `{subject.run_id}`" if subject.run_id else "a model from files"
        rows = [(name, *number_cells(name, found, theirs)) for name in main_names(found)]
        text = paragraphs(
            f"**Evaluation** of {of}, which was to forget `{subject.forget}`.{held}",
            markdown_table(("", "value", "interval", "oracle"), rows, "lrrr"),
            *(f"> {note}" for note in prose.warned(warnings)),
            "What each number is stands in the artifact `report/summary.md`; `mu metrics` lists "
            "all.",
        )
        definitions = prose.define_metrics(found)
        keep_results(recorder, {"model": found, "oracle": theirs}, text, definitions)
        if options.add and subject.run_id:
            _add(recorder, evaluation, found, run, warnings)
        return found, theirs, warnings

    title = run_name("evaluate", (subject.run_id or "a file")[:ID_SHOWN])
    run_id, (found, theirs, warnings) = run_task(store, "evaluate", title, work)
    what = f"{subject.checkpoint.spec.history[-1]} on {about(subject.checkpoint)}"
    print_metrics(f"{what}: forget {subject.forget}", found, theirs)
    console.print_warnings(texts(warnings))
    alone = [] if oracle_id else ["no oracle, so nothing to compare with; give oracle_run_id"]
    console.print_notes([*run.notes, *alone])
    lines = {"model": subject.run_id or str(options.checkpoint), "evaluation": run_id}
    lines |= {"oracle": oracle_id} if oracle_id else {}
    console.print_lines({**lines, "browse": browse(store, run_id=run_id)})


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


def _alarms(
    evaluation: Evaluation, found: Mapping[str, float], theirs: Mapping[str, float]
) -> list[Alarm]:
    """What the numbers say, and those that were logged before."""
    store, subject, oracle_id = evaluation.store, evaluation.subject, evaluation.oracle_id
    oracle = {**(store.run(oracle_id).data.metrics if oracle_id else {}), **theirs}
    if subject.run_id is None or subject.is_original:
        return alarms(Result(found, found if subject.is_original else {}, oracle))
    run = read_run(store, subject.run_id)
    return alarms_of(replace(run, metrics={**run.metrics, **found}), oracle)


def _add(
    recorder: Recorder,
    evaluation: Evaluation,
    found: Mapping[str, float],
    run: Run,
    warnings: list[Alarm],
) -> None:
    """Add what was found to the measured run, but nothing that would contradict what it says.

    Its distances are to the oracle that its tag names, so those to another one are kept in the
    evaluation's own run; an oracle has none of its own.
    """
    store, subject, oracle_id = evaluation.store, evaluation.subject, evaluation.oracle_id
    run_id = str(subject.run_id)
    if subject.is_original:
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
    log_to(store, run_id, found, recorder.run_id, recorder.folder / "plots")
