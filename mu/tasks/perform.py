"""One unlearning in a run: the method, what is measured, the oracle, and what the run keeps."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from itertools import islice
from statistics import fmean

import numpy as np

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import ORACLE_WORDS
from mu.errors import UserError
from mu.evaluation.comparison import compare
from mu.evaluation.controls import LOGIT_MASK
from mu.evaluation.gap import gaps, gaps_between
from mu.evaluation.membership import membership
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.planted import CONFUSION, planted
from mu.evaluation.unlearning import measure, predict_split
from mu.methods import make_method
from mu.methods.base import unlearn
from mu.report import console, plots, prose, run_page
from mu.report.alarms import NAN, Alarm, Result, alarms, of_original, tag_of, texts, with_ending
from mu.report.next_steps import next_steps
from mu.report.verdict import SPREAD, verdict
from mu.rounding import rounded
from mu.runs import Run
from mu.tasks.base import device_in_force, make_run, record_rounding, run_task
from mu.tasks.depth import case_of, measured_depth
from mu.tasks.outputs import about, links, log_data, write_csv, write_json
from mu.tasks.problem import TrackedModel, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.resolve import oracle_of, tracked_model
from mu.tasks.resume import continue_unlearning
from mu.tasks.run_page import facts_of
from mu.tracking import (
    FINISHED,
    Recorder,
    Store,
    browse,
    fingerprint_tags,
    keep_document,
    registered_as,
    run_checkpointer,
)
from mu.tracking.serving import save_checkpoint
from mu.training.progress import Checkpointer

MOST_ORACLES = 20  # of one configuration, whose gaps are averaged


def perform(
    store: Store,
    title: str,
    begin: Callable[[Recorder], UnlearnTask],
    *,
    entry: str = "unlearn",
    resume: str | None = None,
    parent: str | None = None,
    extra: Callable[[Recorder, Unlearned], None] | None = None,
    register: str | None = None,
) -> Unlearned:
    """Unlearn in a run; for the last options but ``extra`` see :func:`mu.tasks.base.run_task`.

    ``begin`` gives the task once the run is open, since it may have to train an original;
    ``extra`` writes what this entry keeps in addition to what every unlearning does. An oracle
    that is trained for a run that is not alone, but part of another or with an original below it,
    is shown below it.
    """

    def work(recorder: Recorder) -> Unlearned:
        task = begin(recorder)
        if task.title != title:  # the length of a list was not known
            recorder.tags({"mlflow.runName": task.title})
        if not resume:
            keep_document(recorder, task.document())
        # All of it, since an interruption may come after the last epoch.
        with run_checkpointer(recorder, task.about(), task.progress) as checkpointer:
            done = _unlearn(recorder, task, checkpointer)
            if extra is not None:
                extra(recorder, done)
            nests = parent is not None or entry == "backdoor"
            oracle = _oracle(store, task, recorder.run_id if nests else None)
            return _save(recorder, replace(done, oracle=oracle))

    return run_task(store, entry, title, work, resume=resume, parent=parent, register=register)[1]


def perform_task(
    store: Store, task: UnlearnTask, parent: str | None = None, register: str | None = None
) -> Unlearned:
    """:func:`perform` a task that is known, in the run that it continues, if it continues one."""
    return perform(
        store,
        task.title,
        lambda _: task,
        resume=task.resume_run_id,
        parent=parent,
        register=register,
    )


def forgotten(
    recorder: Recorder, task: UnlearnTask, checkpointer: Checkpointer | None = None
) -> tuple[Checkpoint, Run, float]:
    """A copy of the original that has unlearned, the work, and the seconds that it took."""
    problem = task.problem
    recorder.params(task.config())
    log_data(recorder, problem.dataset)
    recorder.tags(task.tags())
    run = make_run(problem.device, recorder, task.seed)
    run.notes += task.notes
    if text := problem.split.copies_in_words():
        run.note(text)
    checkpoint = copy.deepcopy(problem.checkpoint)
    run.place(checkpoint.model, problem.dataset.shape)
    record_rounding(recorder, run, resumed=task.resume_run_id is not None)
    with run.stopwatch() as seconds:
        unlearn(task.method, checkpoint, problem.split, run, checkpointer)
    return checkpoint, run, run.seconds_before + seconds[0]  # interrupted processes included


def _unlearn(recorder: Recorder, task: UnlearnTask, checkpointer: Checkpointer) -> Unlearned:
    """Unlearn, measure, and log what is known so far."""
    problem = task.problem
    checkpoint, run, seconds = forgotten(recorder, task, checkpointer)
    peak = run.peak_memory_mb()
    checkpoint.spec = checkpoint.spec.without(problem.split.forget, task.name)
    # At once: whatever fails from here on, the result of the work is on disk.
    fingerprints = fingerprint_tags(save_checkpoint(recorder, checkpoint))
    recorder.tags(fingerprints)
    after = predict_split(checkpoint.model, problem.split, run)
    if not all(part.finite for part in (after.forget, after.retain, after.test)):
        settings = task.method.as_dict()
        given = [name for name in ("alpha", "lr") if settings.get(name) is not None]
        remedy = f"lower {given[0]}={settings[given[0]]:g}" if given else "take gentler settings"
        raise UserError(f"after {task.name} the network's outputs are NaN or infinite; {remedy}")
    seed = problem.evaluation_seed
    numbers = {
        **measure(after, seed=seed),
        **planted(checkpoint.model, problem.dataset, run),
        **membership(after, seed=seed),
        **{f"{metric}_before": value for metric, value in problem.metrics_before.items()},
        "RTE": seconds,
        "samples_seen": float(run.samples_seen),
        "peak_memory_mb": peak,
        "sparsity": checkpoint.mask.sparsity,
    }
    # As they are logged, so that a gap to logged numbers is exactly zero between equal models.
    numbers |= {f"{metric}_{LOGIT_MASK}": value for metric, value in problem.logit_mask.items()}
    metrics = {metric: rounded(value) for metric, value in numbers.items()}
    same = fingerprints[tags.WEIGHTS] == problem.network[0]
    return Unlearned(recorder.run_id, task, checkpoint, metrics, run, after, unchanged=same)


def _oracle(store: Store, task: UnlearnTask, parent: str | None) -> TrackedModel | None:
    """The oracle requested, found by fingerprint, trained, or none."""
    wanted, problem = task.oracle_run_id, task.problem
    if task.name == "retrain" and wanted in ORACLE_WORDS:
        return None
    found = oracle_of(store, "find" if wanted == "train" else wanted, lambda: problem)
    if found is None and wanted == "train":
        return train_oracle(store, problem, parent, resume=task.resume_run_id is not None)
    return None if found is None else tracked_model(store, found)


def train_oracle(
    store: Store, problem: UnlearningProblem, parent: str | None = None, *, resume: bool = False
) -> TrackedModel:
    """Retrain for the run ``parent``; ``resume`` in a run that is unfinished, if there is one."""
    task = UnlearnTask(problem, make_method("retrain"), problem.spec.recipe.seed)
    done = perform_task(store, continue_unlearning(store, task) if resume else task, parent)
    return TrackedModel(done.run_id, done.checkpoint, done.metrics)


def _save(recorder: Recorder, done: Unlearned) -> Unlearned:
    """Compare with the oracle and write everything that the run keeps."""
    task, problem, folder, oracle = done.task, done.task.problem, recorder.folder, done.oracle
    metrics, upstream, theirs = done.metrics, {"original": problem.run_id}, None
    if oracle is not None:
        theirs = predict_split(oracle.checkpoint.model, problem.split, make_run(problem.device))
        distances = _distances(recorder.store, done, theirs)
        metrics.update({name: rounded(value) for name, value in distances.items()})
        own = {name: oracle.metrics[name] for name in CONFUSION if name in oracle.metrics}
        metrics.update({f"{name}_oracle": value for name, value in own.items()})
        if oracle.metrics.get("RTE"):
            metrics["speedup"] = oracle.metrics["RTE"] / max(metrics["RTE"], 1e-9)
        upstream["oracle"] = oracle.run_id
        recorder.tags({tags.ORACLE: oracle.run_id})
    case = case_of(done, theirs)
    depths = measured_depth(recorder, done, case)
    metrics.update({name: rounded(value) for name, value in depths.items()})
    recorder.metrics(metrics)
    found = _alarms(done)
    judged = None if oracle is None else verdict(metrics, oracle.metrics, metrics.get(SPREAD, NAN))
    word = judged.word if judged else None
    recorder.tags({tags.WARNINGS: tag_of(found), tags.VERDICT: word})
    (folder / "forget").mkdir(exist_ok=True)
    np.save(folder / "forget" / "indices.npy", problem.split.forget, allow_pickle=False)
    if problem.dataset.manifest:
        rows = problem.dataset.file_rows({"train": problem.split.forget.tolist()}, read=True)
        write_csv(folder / "forget" / "files.csv", rows)
    write_json(folder / "metrics.json", metrics)
    write_json(
        folder / "config.json", {**task.config(), **device_in_force(problem.device, done.run)}
    )
    plots.plot_layers(done.checkpoint.mask, folder / "mask" / "layers.png")
    plots.plot_confidence(problem.before, done.after, folder / "plots" / "confidence.png")
    plots.plot_metrics(_rows(done), folder / "plots" / "metrics.png")
    if done.run.history("loss"):
        plots.plot_history(done.run, folder / "plots" / "training.png")
    text = prose.describe_unlearn(
        task.name,
        problem.forget,
        problem.split,
        about(problem.checkpoint),
        metrics,
        upstream,
        [*prose.warned(found), *done.run.notes],
        judged,
    )
    recorder.describe(text)
    done = replace(done, alarms=found, verdict=judged)
    page = folder / "report" / "report.html"
    run_page.save_page(page, lambda: facts_of(done, case, _rows(done)))
    return done


def _distances(store: Store, done: Unlearned, theirs: SplitOutputs) -> dict[str, float]:
    """To the oracle, whose outputs are ``theirs``; those of the controls and of other oracles."""
    problem = done.task.problem
    seed = problem.evaluation_seed
    found = compare(done.after, theirs, problem.before, seed=seed)
    if problem.logit_mask:
        found[f"gap_{LOGIT_MASK}"] = gaps(problem.logit_mask, measure(theirs, seed=seed))["gap"]
    spread = NAN if done.oracle is None else oracles_gap(store, done.oracle.run_id)
    return found if math.isnan(spread) else {**found, SPREAD: spread}


def _alarms(done: Unlearned) -> list[Alarm]:
    oracle = done.oracle
    return alarms(
        Result(
            done.metrics,
            of_original(done.metrics),
            {} if oracle is None else oracle.metrics,
            retrained=done.task.name == "retrain",
            unchanged=done.unchanged,
            floor=done.metrics.get(SPREAD, NAN),
        )
    )


def oracles_gap(store: Store, oracle_id: str) -> float:
    """Mean gap between an oracle and those that differ from it in their seed alone, in points.

    NaN where there is no other, or where the store does not answer: that costs a warning, and must
    not cost the run.
    """
    try:
        key = store.run(oracle_id).data.tags.get(tags.ORACLE_KEY, "")
        found = [*islice(store.find({tags.ORACLE_KEY: key}, FINISHED), MOST_ORACLES)]
    except UserError:
        return NAN
    by_seed = {run.data.params.get("seed"): run.data.metrics for run in found}
    between = gaps_between(by_seed.values())
    return fmean(between) if between else NAN


def _rows(done: Unlearned) -> dict[str, Mapping[str, float]]:
    """Numbers of the original, the unlearned model and the oracle, by label."""
    known = "depth" in done.metrics  # of an original, which forgot nothing, it is 0
    rows: dict[str, Mapping[str, float]] = {
        "original": with_ending("_before", done.metrics) | ({"depth": 0.0} if known else {})
    }
    if masked := with_ending(f"_{LOGIT_MASK}", done.metrics):
        rows[LOGIT_MASK] = masked
    rows[done.task.name] = done.metrics
    if done.oracle is not None:
        depth = {"depth": 100.0} if known else {}
        rows["oracle (retrain)"] = {**done.oracle.metrics, "gap": 0.0, **depth}
    if SPREAD in done.metrics:
        rows["other oracles"] = {"gap": done.metrics[SPREAD]}
    return rows


def print_unlearned(store: Store, done: Unlearned) -> None:
    """What a run that unlearned prints when it is done."""
    run_id, metrics, oracle = done.run_id, done.metrics, done.oracle
    problem, name = done.task.problem, done.task.name
    split, sparsity = problem.split, problem.checkpoint.mask.sparsity
    console.print_results(
        f"{name} on {about(problem.checkpoint)}: forget {len(split.forget)} samples "
        f"({problem.forget}), retain {len(split.retain)}",
        _rows(done),
    )
    notes = [*done.run.notes]
    if oracle is None and name != "retrain":
        notes.append("no oracle, so no gap; add oracle_run_id=train to make one")
    console.print_warnings(texts(done.alarms))
    console.print_notes(notes)
    if done.verdict is not None:
        console.print_verdict(done.verdict.text)
    lines = links(problem.run_id, run_id, oracle.run_id if oracle else None)
    if oracle is not None:
        lines["gap"] = prose.gap_in_words(metrics)
    if "alpha" in done.run.metrics:
        lines["alpha"] = f"{done.run.metrics['alpha']:.3g}"
    if metrics["sparsity"] != rounded(sparsity):
        lines["sparsity"] = f"{metrics['sparsity']:.2f} %"
    lines |= next_steps("unlearn", run_id, registered_as(store, run_id))
    lines["browse"] = browse(store, "mu-backdoor" if "ASR" in metrics else "mu-unlearn")
    console.print_lines(lines)
