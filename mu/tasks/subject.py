"""The network that is measured or searched: that of a run, or of a folder."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mu.checkpoints import Checkpoint
from mu.cli.requests import DeviceOptions, EvaluateOptions, Request
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Indices
from mu.data.splits import Split
from mu.errors import UserError
from mu.tasks.attacks import stated
from mu.tasks.listed import forget_split, resolved
from mu.tasks.problem import UnlearningProblem
from mu.tasks.resolve import data_of, problem_of
from mu.tracking import UNLEARNED, Store, fetch_checkpoint, read_run


@dataclass(frozen=True)
class Subject:
    """The model that is measured, and where it comes from."""

    checkpoint: Checkpoint
    split: ForgetSplit
    forget: str
    run_id: str | None = None  # these two where it is a run's, not a folder's
    problem: UnlearningProblem | None = None
    oracle_run_id: str | None = None  # what the run was compared with when it was made

    @property
    def is_original(self) -> bool:
        """Whether nothing was unlearned yet."""
        return self.problem is not None and self.checkpoint is self.problem.checkpoint


def network_of(
    store: Store, options: EvaluateOptions, request: Request, done: str
) -> tuple[Checkpoint, ImageDataset]:
    """The network that was named, and its data with the attack that was stated.

    ``done``: what is to be done with it, for messages.
    """
    run_id, folder = options.run_id, options.checkpoint
    if (run_id is None) == (folder is None):
        raise UserError(f"give run_id or checkpoint, one of them: the model that is to be {done}")
    if run_id is None:
        checkpoint = Checkpoint.load(Path(str(folder)).expanduser())
    else:
        checkpoint = fetch_checkpoint(store, run_id)
    dataset = data_of(checkpoint.spec, {"data_dir": options.data_dir})
    return checkpoint, stated(dataset, request, run_id or str(folder))


def subject_of(
    store: Store, options: EvaluateOptions, request: Request, device: DeviceOptions
) -> Subject:
    """The network that was named, with its forget set: that of its run or spec, or a given one."""
    checkpoint, dataset = network_of(store, options, request, "measured")
    run_id, forget = options.run_id, options.forget
    if run_id is None:
        return _of_folder(store, options, checkpoint, dataset)
    run = read_run(store, run_id)
    if run.entry not in UNLEARNED:
        if forget is None:
            raise UserError(
                f"run {run_id} has unlearned nothing; give forget=class:3, say, beside it"
            )
        split = forget_split(lambda: store, checkpoint.spec, dataset, ForgetRequest.parse(forget))
        problem = UnlearningProblem(run_id, checkpoint, dataset, split, forget, device)
        return Subject(checkpoint, split, forget, run_id, problem)
    if forget is not None:
        raise UserError(
            f"forget={forget}: run {run_id} has unlearned its own forget set; leave forget out"
        )
    problem = problem_of(store, run, device, options.data_dir, dataset)
    return Subject(checkpoint, problem.split, problem.forget, run_id, problem, run.oracle_run_id)


def _of_folder(
    store: Store, options: EvaluateOptions, checkpoint: Checkpoint, dataset: ImageDataset
) -> Subject:
    """What the spec says was removed is the forget set, unless one is given."""
    spec, folder = checkpoint.spec, str(options.checkpoint)
    chosen: Indices = (removed := np.array(spec.removed, np.int64))
    parts = spec.split(dataset)
    whole = Split(np.sort(np.concatenate([parts.train, removed])), parts.val, parts.unused)
    if options.forget is not None:
        request = resolved(lambda: store, ForgetRequest.parse(options.forget), dataset)
        chosen = request.cut(dataset, whole, spec.recipe.split.split_seed).forget
        if len(removed) and not np.array_equal(np.sort(chosen), removed):
            raise UserError(
                f"forget={options.forget}: the model in {folder!r} has unlearned other samples "
                f"({len(removed)} of them); leave forget out"
            )
    if not len(chosen):
        raise UserError(f"the model in {folder!r} has unlearned nothing; give forget=class:3, say")
    forget = options.forget or f"{len(removed)} samples"
    return Subject(checkpoint, ForgetSplit.of(dataset, whole, chosen), forget)
