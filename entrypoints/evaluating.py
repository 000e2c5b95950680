"""Evaluation as a tracked run: find the model and its oracle, measure, add to the model's run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from entrypoints.found_originals import data_of
from entrypoints.unlearn_job import Upstream
from entrypoints.unlearned import check_oracle_run, oracle_of, upstream_of
from mu.checkpoints import Checkpoint
from mu.cli.handover import browse, write_json
from mu.cli.originals import DeviceOptions
from mu.data.forget import ForgetRequest, ForgetSplit
from mu.data.images import Indices
from mu.data.splits import Split
from mu.errors import UserError
from mu.evaluation import SplitOutputs, look
from mu.evaluation.measurements import Case, Model, Selection, measurements, oracles_numbers
from mu.report import console, outcome_plots, prose
from mu.report.metrics import print_metrics
from mu.runs import Run, pick_device
from mu.tracking import (
    UNLEARNED,
    Recorder,
    Store,
    connect,
    fetch_checkpoint,
    fingerprint_tag,
    finished_run,
    log_to,
    rounded,
    tracked,
)

if TYPE_CHECKING:
    from entrypoints.evaluate import EvaluateOptions


@dataclass(frozen=True)
class Subject:
    """The model that is measured, and where it comes from.

    Parameters
    ----------
    run_id
        Of the model, where it is a run's.
    upstream
        The original with this forget set, where it is a run's.
    """

    checkpoint: Checkpoint
    split: ForgetSplit
    forget: str
    run_id: str | None = None
    upstream: Upstream | None = None
    oracle_run_id: str | None = None

    @property
    def title(self) -> str:
        """In the runs table."""
        return f"evaluates {(self.run_id or 'a file')[:8]}"


def main(options: EvaluateOptions, device: DeviceOptions) -> None:
    """Measure what was asked for; everything that can be checked is checked before a run opens."""
    selection = Selection.parse(options.metrics)
    pick_device(device.device)
    store = connect()
    subject = _subject(store, options, device)
    oracle_id = _oracle_id(store, options.oracle_run_id, subject)
    others, oracles = (_listed(text) for text in (options.run_ids, options.oracle_run_ids))
    with tracked(store, "evaluate", subject.title) as recorder:
        recorder.params({**options.as_dict(), "oracle_run_id": oracle_id or "none"})
        if subject.run_id:
            recorder.tags({"mu.upstream": subject.run_id})
        run = Run(**device.as_dict(), seed=options.seed, folder=recorder.folder)
        case = _case(store, subject, oracle_id, (others, oracles), run)
        found = {name: rounded(value) for name, value in measurements(case, selection).items()}
        theirs = {n: rounded(v) for n, v in oracles_numbers(case, found).items()}
        _keep(recorder, subject, case, found, theirs)
        if options.add and subject.run_id:
            log_to(store, subject.run_id, found, recorder.folder / "plots", recorder.run_id)
    about = prose.describe_model(subject.checkpoint.spec, subject.checkpoint.mask.sparsity)
    done = subject.checkpoint.spec.history[-1]
    print_metrics(f"{done} on {about}: forget {subject.forget}", found, theirs)
    console.print_notes(run.notes)
    if oracle_id is None:
        console.print_notes(["no oracle, so nothing to compare with; give oracle_run_id"])
    lines = {"model": subject.run_id or str(options.checkpoint), "evaluation": recorder.run_id}
    lines |= {"oracle": oracle_id} if oracle_id else {}
    console.print_lines({**lines, "browse": browse(store, "mu-unlearn")})


# --- the model ----------------------------------------------------------------------------


def _subject(store: Store, options: EvaluateOptions, device: DeviceOptions) -> Subject:
    """The model of a run or of a folder.

    Raises
    ------
    UserError
        If neither or both are given, or its forget set is not known.
    """
    if (options.run_id is None) == (options.checkpoint is None):
        raise UserError("give run_id or checkpoint, one of them: the model that is to be measured")
    if options.checkpoint is not None:
        return _of_folder(Path(options.checkpoint).expanduser(), options)
    assert options.run_id is not None
    run = finished_run(store, options.run_id)
    if run.data.tags["mu.entry"] not in UNLEARNED:
        return _of_original(store, options.run_id, options, device)
    if options.forget is not None:
        raise UserError(
            f"forget={options.forget}: run {options.run_id} has unlearned its own forget set; "
            "leave forget out"
        )
    upstream = upstream_of(store, run, device, options.data_dir)
    checkpoint, linked = fetch_checkpoint(store, options.run_id), run.data.tags.get("mu.oracle")
    return Subject(checkpoint, upstream.split, upstream.forget, options.run_id, upstream, linked)


def _of_original(
    store: Store, run_id: str, options: EvaluateOptions, device: DeviceOptions
) -> Subject:
    """An original that has unlearned nothing yet: what is to be forgotten must be said."""
    if options.forget is None:
        raise UserError(f"run {run_id} has unlearned nothing; give forget=class:3, say, beside it")
    checkpoint = fetch_checkpoint(store, run_id)
    dataset = data_of(checkpoint.spec, {"data_dir": options.data_dir})
    parts = checkpoint.spec.split(dataset)
    seed = checkpoint.spec.recipe.split.split_seed
    chosen = ForgetRequest.parse(options.forget).select(dataset, parts, seed)
    split = ForgetSplit.of(dataset, parts, chosen)
    upstream = Upstream(run_id, checkpoint, dataset, split, options.forget, device)
    return Subject(checkpoint, split, options.forget, run_id, upstream)


def _of_folder(folder: Path, options: EvaluateOptions) -> Subject:
    """A model from files; what its spec says was removed is its forget set, unless one is given."""
    checkpoint = Checkpoint.load(folder)
    spec = checkpoint.spec
    dataset = data_of(spec, {"data_dir": options.data_dir})
    parts, removed = spec.split(dataset), np.array(spec.removed, np.int64)
    whole = Split(np.sort(np.concatenate([parts.train, removed])), parts.val, parts.unused)
    chosen: Indices = removed
    if options.forget is not None:
        seed = spec.recipe.split.split_seed
        chosen = ForgetRequest.parse(options.forget).select(dataset, whole, seed)
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


def _oracle_id(store: Store, asked: str, subject: Subject) -> str | None:
    """The run of the oracle, or None; a model from files has only one that is named.

    An oracle is not its own, unless it is said to be: the distances would all be zero.

    Raises
    ------
    UserError
        If the run given is no oracle of this forget set.
    """
    if subject.upstream is not None:
        found = oracle_of(store, asked, subject.upstream, subject.oracle_run_id)
        return None if asked == "find" and found == subject.run_id else found
    if asked in ("find", "none"):
        return None
    check_oracle_run(store, asked, None)
    _check_same_forget_set(store, asked, subject)
    return asked


def _check_same_forget_set(store: Store, run_id: str, subject: Subject) -> None:
    """Refuse a run that has not unlearned the samples that the model has.

    Raises
    ------
    UserError
        If it has not.
    """
    tags = finished_run(store, run_id).data.tags
    if tags.get("mu.forget") != fingerprint_tag(subject.split.fingerprint):
        raise UserError(f"run {run_id} has not unlearned the same samples; leave it out")


def _listed(text: str | None) -> list[str]:
    return [word.strip() for word in (text or "").split(",") if word.strip()]


def _case(
    store: Store,
    subject: Subject,
    oracle_id: str | None,
    further: tuple[list[str], list[str]],
    run: Run,
) -> Case:
    """Look at every model that is needed, each once."""
    seed = subject.checkpoint.spec.recipe.split.split_seed
    model = Model(subject.checkpoint, look(subject.checkpoint.model, subject.split, run))
    oracle = _fetched(store, oracle_id, subject, run) if oracle_id else None
    original = None
    if subject.upstream:
        original = Model(subject.upstream.checkpoint, subject.upstream.before)
    unlearned, oracles = (
        [_same(store, run_id, subject, run) for run_id in run_ids] for run_ids in further
    )
    return Case(
        model,
        subject.split,
        run,
        seed,
        original,
        oracle,
        [model.outputs, *unlearned],
        [*([oracle.outputs] if oracle else []), *oracles],
    )


def _fetched(store: Store, run_id: str, subject: Subject, run: Run) -> Model:
    checkpoint = fetch_checkpoint(store, run_id)
    return Model(checkpoint, look(checkpoint.model, subject.split, run))


def _same(store: Store, run_id: str, subject: Subject, run: Run) -> SplitOutputs:
    """Outputs of a further run, which must have unlearned the same samples."""
    _check_same_forget_set(store, run_id, subject)
    return _fetched(store, run_id, subject, run).outputs


# --- what is kept -------------------------------------------------------------------------


def _keep(
    recorder: Recorder,
    subject: Subject,
    case: Case,
    found: Mapping[str, float],
    theirs: Mapping[str, float],
) -> None:
    recorder.metrics({**found, **{f"{name}_oracle": value for name, value in theirs.items()}})
    write_json(recorder.folder / "metrics.json", {"model": found, "oracle": theirs})
    outcome_plots.plot_all(case, recorder.folder / "plots")
    text = prose.describe_evaluation(subject.run_id, subject.forget, found, theirs)
    recorder.describe(text)
    report = recorder.folder / "report" / "summary.md"
    report.parent.mkdir()
    report.write_text(f"{text}\n{prose.define_metrics(found)}")
