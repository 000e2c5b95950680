"""The depth of forgetting of an unlearning run: against its original, beside its oracle."""

from __future__ import annotations

from collections.abc import Mapping

from mu import tags
from mu.digests import digest_of
from mu.errors import UserError
from mu.evaluation.case import Case, Model
from mu.evaluation.depth.measure import OF_ORACLE, depth
from mu.evaluation.outputs import SplitOutputs
from mu.runs import Run
from mu.tags import fingerprint_tag
from mu.tasks.base import make_run
from mu.tasks.problem import TrackedModel, Unlearned, UnlearningProblem
from mu.tracking import Recorder, Store

DEFINITION = 2  # to be raised when numbers of earlier versions are no longer comparable


def case_of(done: Unlearned, theirs: SplitOutputs | None) -> Case:
    """An unlearning beside its original and, where there is one, its oracle.

    Its run has the seed 0, so that all models of a problem are measured on the same samples in the
    same order, whatever the seed of their unlearning. ``theirs``: the oracle's outputs.
    """
    problem, oracle = done.task.problem, done.oracle
    return Case(
        Model(done.checkpoint, done.after),
        problem.split,
        make_run(problem.device),
        problem.evaluation_seed,
        Model(problem.checkpoint, problem.before),
        None if oracle is None or theirs is None else Model(oracle.checkpoint, theirs),
    )


def measured_depth(recorder: Recorder, done: Unlearned, case: Case) -> dict[str, float]:
    """The depth of an unlearning that has an oracle, or is one; nothing of others.

    What an oracle's run has logged of itself is taken from there. The run gets the notes, and a tag
    that says of what its numbers are. ``case``: that of the unlearning, by :func:`case_of`.
    """
    problem, oracle, run = done.task.problem, done.oracle, case.run
    if oracle is None and done.task.name != "retrain":
        return {}
    run.place(done.checkpoint.model, problem.dataset.shape)  # settles the precision
    key = depth_key(problem, run)
    known = None if oracle is None else logged_depth(recorder.store, oracle, key)
    found = depth(case, known)
    done.run.notes += [note for note in run.notes if note not in done.run.notes]
    recorder.tags({tags.DEPTH: key})
    return found


def depth_key(problem: UnlearningProblem, run: Run) -> str:
    """Fingerprint of all that an oracle's numbers depend on, but its weights."""
    batch_size, forget = problem.spec.recipe.training.batch_size, problem.split.fingerprint
    parts = [DEFINITION, problem.network, forget, batch_size, run.seed, run.bf16]
    return fingerprint_tag(digest_of(parts))


def logged_depth(store: Store, oracle: TrackedModel, key: str) -> Mapping[str, float] | None:
    """What the oracle's run has logged of itself, if that is of this problem.

    None where it is not, or the store does not answer: that costs a measurement, not the run.
    """
    try:
        logged = store.run(oracle.run_id).data
    except UserError:
        return None
    found = {name: logged.metrics[name] for name in OF_ORACLE if name in logged.metrics}
    return found if logged.tags.get(tags.DEPTH) == key and "relearn_lr" in found else None
