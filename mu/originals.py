"""Making an original: train, prune, rewind, train again. The verb behind ``prune``."""

from __future__ import annotations

import copy
from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import source
from mu.data.images import ImageDataset, Subset
from mu.data.splits import SplitSpec
from mu.errors import unknown
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.models import ModelSpec
from mu.pruning import DEFAULT_PRUNER, pruner_class
from mu.pruning.base import prunable
from mu.recipes import Recipe, Rewinding
from mu.runs import Run
from mu.training.loop import train
from mu.training.recipe import Training


def make_recipe(dataset: ImageDataset, **settings: Any) -> Recipe:
    """A recipe for ``dataset``: what is given, and defaults that suit the data for the rest.

    Parameters
    ----------
    **settings
        By the names of the command line: ``arch``, ``stem``, ``pruner``, ``rate``, ``epochs``,
        ``lr``, ``rewind_epoch``, ``split_seed``, ``seed``, ...

    Raises
    ------
    UserError
        If a name is unknown or a value is out of range.
    """
    given = {name: value for name, value in settings.items() if value is not None}
    defaults = source(dataset.name).training
    arch = given.pop("arch", source(dataset.name).arch)
    stem = given.pop("stem", "auto")
    pruner = given.pop("pruner", DEFAULT_PRUNER)
    seed = given.pop("seed", 0)
    groups = (Training, Rewinding, SplitSpec, pruner_class(pruner))
    parts = [{name: given.pop(name) for name in group.names() if name in given} for group in groups]
    if given:
        known = [name for group in groups for name in group.names()]
        raise unknown("setting of prune", next(iter(given)), [*known, "arch", "stem", "pruner"])
    training, rewinding, splitting, pruning = parts
    return Recipe(
        model=ModelSpec.for_images(arch, stem, len(dataset.classes), dataset.shape),
        training=Training.of({**defaults, **training}),
        pruner=pruner,
        pruning=pruning,
        rewinding=Rewinding.of(rewinding),
        split=SplitSpec.of(splitting),
        seed=seed,
    )


def train_original(
    dataset: ImageDataset, recipe: Recipe, run: Run, *, mask: Mask | None = None
) -> Checkpoint:
    """Train an original on its part of ``dataset``.

    Parameters
    ----------
    mask
        Train under this mask from the initial weights, instead of finding one.
    """
    spec = Spec(DataSpec.of(dataset), recipe, history=("pruned",))
    parts = spec.split(dataset)
    data = dataset.training_subset(parts.train)
    val = dataset.training_subset(parts.val)
    validation = val if len(val) else None
    model, mask = train_network(recipe, data, run, mask=mask, val=validation, seed=recipe.seed)
    return Checkpoint(model, mask, spec)


def train_network(
    recipe: Recipe,
    data: Subset,
    run: Run,
    *,
    mask: Mask | None = None,
    val: Subset | None = None,
    seed: int | None = None,
) -> tuple[nn.Module, Mask]:
    """Train on ``data`` by the recipe: the path of originals and of Retrain alike.

    Without a mask: train, prune, put weights and buffers back to those of ``rewind_epoch``, and
    go on from that epoch of the schedule with a fresh optimiser, under the mask. At rate 0 the
    first training is all. With a mask: train under it, once, from the initial weights.

    Parameters
    ----------
    val
        Validation samples; their accuracy is logged after each epoch.
    seed
        Of the order of samples, by default the run's; initial weights come from the recipe's.

    Returns
    -------
    tuple
        The network, on the run's device, and its mask.
    """
    model = run.place(recipe.model.build(recipe.seed))
    pruner = recipe.make_pruner()
    dense = Mask.dense(model, prunable(model))
    epochs = recipe.training.epochs
    log_val = _validation_logger(model, val, run)
    fit = partial(train, model, data, recipe.training, run, seed=seed)
    if mask is not None or pruner.rate == 0:
        mask = mask or dense
        fit(mask=mask, after_epoch=log_val(0))
        return model, mask
    rewind_epoch = recipe.rewinding.epoch(epochs)
    kept = copy.deepcopy(model.state_dict()) if rewind_epoch == 0 else {}

    def keep(epoch: int) -> None:
        if epoch + 1 == rewind_epoch:
            kept.update(copy.deepcopy(model.state_dict()))
        log_val(0)(epoch)

    fit(label="training, dense", after_epoch=keep)
    mask = pruner.prune(model, dense, data, run)
    _note_empty_layers(mask, run)
    run.log("sparsity", mask.sparsity, 1)
    model.load_state_dict(kept)
    shift = epochs - rewind_epoch  # logged steps of both trainings follow each other
    fit(
        mask=mask,
        start_epoch=rewind_epoch,
        first_step=shift,
        label="training, sparse",
        after_epoch=log_val(shift),
    )
    return model, mask


def _validation_logger(
    model: nn.Module, val: Subset | None, run: Run
) -> Callable[[int], Callable[[int], None]]:
    """For a first step: what logs the accuracy on plain validation images after an epoch."""

    def from_step(first_step: int) -> Callable[[int], None]:
        def log(epoch: int) -> None:
            if val is not None:
                run.log("VA", predict(model, val, run).accuracy(), first_step + epoch)

        return log

    return from_step


def _note_empty_layers(mask: Mask, run: Run) -> None:
    """A layer without weights passes nothing on; only a shortcut beside it can."""
    empty = [layer["name"] for layer in mask.layers() if layer["kept"] == 0]
    if empty:
        run.note(f"pruning left no weight in {', '.join(empty)}; a lower rate would keep some")
