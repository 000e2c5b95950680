"""The verb of transfer: from a checkpoint of one data set to a checkpoint of another.

References
----------
Jia et al. (2023), Model Sparsity Can Simplify Machine Unlearning, NeurIPS, section 5; Jain, Salman,
Khaddaj, Wong, Park & Madry (2023), A Data-Based Perspective on Transfer Learning, CVPR.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
from torch import nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import source
from mu.data.images import ImageDataset
from mu.errors import UserError, unknown
from mu.masks import Mask
from mu.models import ModelSpec
from mu.models.head import head_for
from mu.runs import Run
from mu.training import Training
from mu.training.loop import train
from mu.transfer import DEFAULT_TUNE, TUNES

DONE = "transfer"  # in a spec's history


def transfer_training(target: str, tune: str = DEFAULT_TUNE, **settings: Any) -> Training:
    """The settings of a transfer to a data set: what is given, then the defaults of ``tune``.

    Augmentation is by default what suits the data set. UserError if a name is unknown or a value is
    out of range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    own = {n: v for n, v in source(target).training.items() if n == "augment"}
    training = Training.of({**own, **TUNES[_check_tune(tune)], **given})
    if training.sam_adaptive and not training.sam_rho:
        raise UserError("sam_adaptive=True: there is no radius; give sam_rho, too, such as 1")
    return training


def transferred(
    checkpoint: Checkpoint,
    target: ImageDataset,
    training: Training,
    run: Run,
    *,
    tune: str = DEFAULT_TUNE,
    seed: int | None = None,
    label: str | None = None,
) -> Checkpoint:
    """The network of ``checkpoint`` with a new head, trained on for ``target``.

    Pruned weights stay exactly zero; ``checkpoint`` is left as it is. UserError if the target does
    not fit the network, or the network has no head to exchange. DivergedError if the loss becomes
    no number.

    Parameters
    ----------
    target
        All its training images are trained on. The network goes on to see images normalised as
        those of its source.
    training
        See :func:`transfer_training`.
    tune
        ``head``: only the new head is trained, and everything before it stays as it is, to the
        bit, statistics of batch normalisation too. ``all``: everything is.
    seed
        Of the new head and the order of samples; by default the run's. Networks of one
        architecture get the same head.
    label
        Of the progress that is shown.

    Returns
    -------
    Checkpoint
        Its spec is of the target, with the source's mean and standard deviation; nothing
        is removed of that. The weights of a head that can be pruned are all kept.
    """
    _check_tune(tune)
    check_target(checkpoint.spec, target)
    seed = run.seed if seed is None else seed
    spec = transferred_spec(checkpoint.spec, target)
    model, head = _with_new_head(checkpoint, spec.recipe.model, seed)
    never_pruned = [name for name in checkpoint.mask if name.startswith(head)]
    mask = Mask({**checkpoint.mask, **Mask.dense(model, never_pruned)})
    data = spec.data.bind(target).training_subset(np.arange(len(target.train)))
    label = label or f"transfer to {target.name}"
    probes = tune == "head"
    frozen = [
        one
        for name, one in model.named_parameters()
        if probes and one.requires_grad and not name.startswith(head)
    ]
    with _without_gradients(frozen):
        train(model, data, training, run, mask=mask, seed=seed, label=label, frozen=probes)
    return Checkpoint(model.eval(), mask, spec)


def transferred_spec(spec: Spec, target: ImageDataset) -> Spec:
    """The spec of a checkpoint that was trained on for ``target``."""
    data = replace(DataSpec.of(target), mean=spec.data.mean, std=spec.data.std)
    model = spec.recipe.model.replace(num_classes=len(target.classes))
    recipe = replace(spec.recipe, model=model, trained_on=None)  # numbers of the source
    return Spec(data, recipe, history=(*spec.history, DONE))


def check_target(
    spec: Spec, target: ImageDataset, shape: tuple[int, int, int] | None = None
) -> None:
    """Refuse a target whose images a network does not take, or a network without a head.

    ``shape``: (channels, height, width) of the source's images, where it is known; by default they
    are taken to be square.
    """
    model = spec.recipe.model
    wanted = shape or (model.in_channels, model.image_size, model.image_size)
    if target.shape != wanted:
        theirs, ours = ("x".join(map(str, one)) for one in (target.shape, wanted))
        raise UserError(
            f"target {target.name}: its images are {theirs} (channels x height x width), but the "
            f"original takes {ours}; take a target of such images, or an original of the target's"
        )
    _head_name(model, model.build(0))


def _check_tune(tune: str) -> str:
    if tune not in TUNES:
        raise unknown("tune", tune, TUNES)
    return tune


# --- the head -----------------------------------------------------------------------------


def _head_name(spec: ModelSpec, model: nn.Module) -> str:
    """The name of the layer that gives the logits; refuses networks without one of their own."""
    remedy = "there is nothing to exchange for the target's classes; use another arch"
    return head_for(f"arch {spec.arch}", model, spec.example(), remedy).name


def _with_new_head(checkpoint: Checkpoint, spec: ModelSpec, seed: int) -> tuple[nn.Module, str]:
    """The network that ``spec`` describes, its head drawn by ``seed``, the rest taken over.

    With it what the names of its head's parameters begin with. Refuses networks of which more than
    the head depends on the number of classes.
    """
    model = spec.build(seed)
    head = f"{_head_name(spec, model)}."
    fresh = {key: one for key, one in model.state_dict().items() if key.startswith(head)}
    try:
        model.load_state_dict({**checkpoint.model.state_dict(), **fresh})
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise UserError(
            f"arch {spec.arch}: more than its head depends on the number of classes ({reason}); "
            "use another arch"
        ) from error
    return model, head


@contextmanager
def _without_gradients(parameters: Sequence[nn.Parameter]) -> Iterator[None]:
    """These parameters get no gradients in the block: optimisers pass over them."""
    try:
        for one in parameters:
            one.requires_grad_(False)
        yield
    finally:
        for one in parameters:
            one.requires_grad_(True)
