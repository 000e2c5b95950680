"""One unlearning in a run: the method, what is measured, the oracle, and what the run keeps."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping

import numpy as np

from mu import tags
from mu.cli.requests import ORACLE_WORDS
from mu.errors import UserError
from mu.evaluation.backdoor import backdoor
from mu.evaluation.comparison import compare
from mu.evaluation.membership import membership
from mu.evaluation.unlearning import look, measure
from mu.methods import make_method
from mu.methods.base import unlearn
from mu.report import console, plots, prose
from mu.tasks.base import make_run, run_task
from mu.tasks.outputs import browse, log_data, write_json
from mu.tasks.problem import Oracle, Unlearned, UnlearningProblem, UnlearnResult, UnlearnTask
from mu.tasks.resolve import check_oracle_run
from mu.tasks.resume import continue_unlearning
from mu.tracking import (
    Recorder,
    Store,
    fetch_checkpoint,
    find_oracle,
    fingerprint_tags,
    finished_run,
    interrupted_oracles,
    keep_document,
    rounded,
    run_keeper,
    save_checkpoint,
)
from mu.training.progress import Keeper

Begin = Callable[[Recorder], UnlearnTask]
Extra = Callable[[Recorder, UnlearnTask, UnlearnResult], None]


def perform(
    store: Store,
    title: str,
    begin: Begin,
    *,
    entry: str = "unlearn",
    resume: str | None = None,
    parent: str | None = None,
    extra: Extra | None = None,
    nest: bool = False,
) -> Unlearned:
    """Unlearn in a run of its own, or in the interrupted one that is continued.

    Parameters
    ----------
    begin
        Gives the task; called once the run is open, since it may have to train an original.
    resume, parent
        See :func:`mu.tasks.base.run_task`.
    extra
        Writes what this entry keeps in addition to what every unlearning does.
    nest
        Whether an oracle that is trained for it is shown below it.
    """

    def work(recorder: Recorder) -> Unlearned:
        task = begin(recorder)
        if not resume:
            keep_document(recorder, task.document())
        # All of it, since an interruption may come after the last epoch.
        with run_keeper(recorder, task.about(), task.progress) as keeper:
            result = _unlearn(recorder, task, keeper)
            if extra is not None:
                extra(recorder, task, result)
            oracle = _oracle(store, task, recorder.run_id if nest else None)
            _save(recorder, task, result, oracle)
        return Unlearned(recorder.run_id, task, result, oracle)

    return run_task(store, entry, title[:20], work, resume=resume, parent=parent).value


def _unlearn(recorder: Recorder, task: UnlearnTask, keeper: Keeper) -> UnlearnResult:
    """Unlearn a copy of the original, measure it, and log what is known so far."""
    problem = task.problem
    recorder.params(task.config())
    log_data(recorder, problem.dataset)
    recorder.tags(task.tags())
    run = make_run(problem.device, recorder, task.seed)
    run.notes += task.notes
    checkpoint = copy.deepcopy(problem.checkpoint)
    run.place(checkpoint.model)
    with run.stopwatch() as seconds:
        unlearn(task.method, checkpoint, problem.split, run, keeper)
    peak = run.peak_memory_mb()
    checkpoint.spec = checkpoint.spec.without(problem.split.forget, task.name)
    # At once: whatever fails from here on, the result of the work is on disk.
    digests = save_checkpoint(recorder, checkpoint)
    after = look(checkpoint.model, problem.split, run)
    _refuse_nan(task, all(part.finite for part in (after.forget, after.retain, after.test)))
    seed = problem.evaluation_seed
    before = {**measure(problem.before, seed=seed), **problem.backdoor_before}
    numbers = {
        **measure(after, seed=seed),
        **backdoor(checkpoint.model, problem.dataset, run),
        **membership(after, seed=seed),
        **{f"{metric}_before": value for metric, value in before.items()},
        "RTE": run.seconds_before + seconds[0],  # those of interrupted processes included
        "samples_seen": float(run.samples_seen),
        "peak_memory_mb": peak,
        "sparsity": checkpoint.mask.sparsity,
    }
    # As they are logged, so that a gap to logged numbers is exactly zero between equal models.
    metrics = {metric: rounded(value) for metric, value in numbers.items()}
    return UnlearnResult(checkpoint, digests, metrics, run, after)


def _refuse_nan(task: UnlearnTask, finite: bool) -> None:
    """Refuse a network that was moved so far that its outputs are NaN.

    Raises
    ------
    UserError
        If not all are finite.
    """
    if finite:
        return
    settings = task.method.as_dict()
    given = [name for name in ("alpha", "lr") if settings.get(name) is not None]
    remedy = f"lower {given[0]}={settings[given[0]]:g}" if given else "take gentler settings"
    raise UserError(f"after {task.name} the network's outputs are NaN or infinite; {remedy}")


# --- the oracle ---------------------------------------------------------------------------


def _oracle(store: Store, task: UnlearnTask, parent: str | None) -> Oracle | None:
    """The oracle requested, found by fingerprint, trained, or none."""
    problem, requested = task.problem, task.oracle_run_id
    check_oracle_run(store, requested, problem)
    if requested not in ORACLE_WORDS:
        return Oracle(requested, finished_run(store, requested).data.metrics)
    if requested == "none" or task.name == "retrain":
        return None
    found = find_oracle(store, problem.oracle_key("upstream"))
    if found is not None:
        return Oracle(found.info.run_id, found.data.metrics)
    if requested == "find":
        return None
    return train_oracle(store, problem, parent, resume=task.resume_run_id is not None)


def train_oracle(
    store: Store, problem: UnlearningProblem, parent: str | None = None, *, resume: bool = False
) -> Oracle:
    """Retrain, in a run of its own.

    Parameters
    ----------
    parent
        The run that the oracle is trained for.
    resume
        Whether to continue in a run that an interrupted task left unfinished, where there is one.
    """
    task = UnlearnTask(problem, "retrain", make_method("retrain"), problem.spec.recipe.seed)
    if resume:
        unfinished = interrupted_oracles(store, task.tags()[tags.ORACLE_KEY])
        task = continue_unlearning(store, task, unfinished)
    done = perform(store, task.title, lambda _: task, resume=task.resume_run_id, parent=parent)
    return Oracle(done.run_id, done.result.metrics)


# --- what is kept -------------------------------------------------------------------------


def _save(
    recorder: Recorder, task: UnlearnTask, result: UnlearnResult, oracle: Oracle | None
) -> None:
    """Compare with the oracle and write everything that the run keeps."""
    problem, metrics, folder = task.problem, result.metrics, recorder.folder
    links = {"original": problem.run_id}
    if oracle is not None:
        metrics.update(_distances(recorder, task, result, oracle))
        if oracle.metrics.get("RTE"):
            metrics["speedup"] = oracle.metrics["RTE"] / max(metrics["RTE"], 1e-9)
        links["oracle"] = oracle.run_id
        recorder.tags({tags.ORACLE: oracle.run_id})
    recorder.metrics(metrics)
    recorder.tags(fingerprint_tags(result.digests))
    (folder / "forget").mkdir(exist_ok=True)
    np.save(folder / "forget" / "indices.npy", problem.split.forget, allow_pickle=False)
    write_json(folder / "metrics.json", metrics)
    write_json(folder / "config.json", {**task.config(), **problem.device.as_dict()})
    plots.plot_layers(result.checkpoint.mask, folder / "mask" / "layers.png")
    plots.plot_confidence(problem.before, result.after, folder / "plots" / "confidence.png")
    rows = rows_of(metrics, oracle, task.name)
    plots.plot_metrics(rows, folder / "plots" / "metrics.png")
    if result.run.history("loss"):
        plots.plot_history(result.run, folder / "plots" / "training.png")
    original = prose.describe_model(problem.spec, problem.checkpoint.mask.sparsity)
    recorder.describe(
        prose.describe_unlearn(
            task.name, problem.forget, problem.split, original, metrics, links, result.run.notes
        )
    )


def _distances(
    recorder: Recorder, task: UnlearnTask, result: UnlearnResult, oracle: Oracle
) -> dict[str, float]:
    """Distances to the oracle, which is evaluated on the same samples."""
    problem = task.problem
    model = fetch_checkpoint(recorder.store, oracle.run_id).model
    theirs = look(model, problem.split, make_run(problem.device))
    found = compare(result.after, theirs, seed=problem.evaluation_seed)
    return {name: rounded(value) for name, value in found.items()}


def rows_of(
    metrics: Mapping[str, float], oracle: Oracle | None, name: str
) -> dict[str, Mapping[str, float]]:
    """Numbers of the original, the unlearned model and the oracle, by label."""
    ending = "_before"
    before = {n.removesuffix(ending): v for n, v in metrics.items() if n.endswith(ending)}
    rows: dict[str, Mapping[str, float]] = {"original": before, name: metrics}
    if oracle is not None:
        rows["oracle (retrain)"] = {**oracle.metrics, "gap": 0.0}
    return rows


# --- what is printed ----------------------------------------------------------------------


def print_unlearned(store: Store, done: Unlearned) -> None:
    """What a run that unlearned prints when it is done."""
    run_id, result, oracle = done.run_id, done.result, done.oracle
    problem, name = done.task.problem, done.task.name
    split, sparsity = problem.split, problem.checkpoint.mask.sparsity
    console.print_results(
        f"{name} on {prose.describe_model(problem.spec, sparsity)}: forget {len(split.forget)} "
        f"samples ({problem.forget}), retain {len(split.retain)}",
        rows_of(result.metrics, oracle, name),
    )
    console.print_notes(result.run.notes)
    if oracle is None and name != "retrain":
        console.print_notes(["no oracle, so no gap; add oracle_run_id=train to make one"])
    lines = {"original": problem.run_id, "unlearned": run_id}
    if oracle is not None:
        lines["oracle"] = oracle.run_id
        lines["gap"] = prose.gap_in_words(result.metrics)
    if "alpha" in result.run.metrics:
        lines["alpha"] = f"{result.run.metrics['alpha']:.3g}"
    if result.metrics["sparsity"] != rounded(sparsity):
        lines["sparsity"] = f"{result.metrics['sparsity']:.2f} %"
    lines["mask"] = f"mlflow artifacts download -r {run_id} -a mask -d DIR"
    lines["browse"] = browse(store, "mu-backdoor" if "ASR" in result.metrics else "mu-unlearn")
    console.print_lines(lines)
