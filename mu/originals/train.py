"""Making an original: the recipe that was asked for, and what ``prune`` does."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import source
from mu.data.images import ImageDataset
from mu.data.splits import SplitSpec
from mu.errors import UserError, unknown
from mu.masks import Mask
from mu.models import ModelSpec
from mu.models.fit import check_fit
from mu.originals.rounds import AfterRound, train_network
from mu.pruning import pruner_class
from mu.recipes.profile import DEFAULT_PROFILE, profile
from mu.recipes.recipe import Recipe, Rewinding
from mu.runs import Run
from mu.training.progress import Checkpointer
from mu.training.recipe import Training


def make_recipe(dataset: ImageDataset, **settings: Any) -> Recipe:
    """A recipe for ``dataset``: what is given, then the profile's defaults, then the data set's.

    UserError if a name is unknown, a value is out of range, or the images do not fit the network.
    ``**settings``: by the names of the command line: ``profile``, ``arch``, ``stem``, ``pruner``,
    ``rate``, ``epochs``, ``lr``, ``rewind_epoch``, ``split_seed``, ``seed``, ...
    """
    given = {name: value for name, value in settings.items() if value is not None}
    name = given.pop("profile", DEFAULT_PROFILE)
    defaults, own = profile(name), source(dataset.name)
    arch = given.pop("arch", defaults.arch or own.arch)
    stem = given.pop("stem", "auto")
    pruner = given.pop("pruner", defaults.pruner)
    seed = given.pop("seed", 0)
    groups = (Training, Rewinding, SplitSpec, pruner_class(pruner))
    parts = [{name: given.pop(name) for name in group.names() if name in given} for group in groups]
    if given:
        known = [name for group in groups for name in group.names()]
        known += ["profile", "arch", "stem", "pruner", "seed"]
        raise unknown("setting of prune", next(iter(given)), known)
    overrides, rewinding, splitting, pruning = parts
    training = Training.of({**own.training, **defaults.training, **overrides})
    if training.sam_adaptive and not training.sam_rho:
        raise UserError("sam_adaptive=True: give sam_rho, the radius; adaptive ones are near 1")
    if "warmup" not in overrides:
        training = training.replace(warmup=round(defaults.warmup * training.epochs))
    model = ModelSpec.for_images(arch, stem, len(dataset.classes), dataset.shape)
    check_fit(model)
    return Recipe(
        model=model,
        training=training,
        pruner=pruner,
        pruning=pruning,
        rewinding=Rewinding.of(rewinding),
        split=SplitSpec.of(splitting),
        seed=seed,
        profile=name,
    )


def train_original(
    dataset: ImageDataset,
    recipe: Recipe,
    run: Run,
    *,
    mask: Mask | None = None,
    checkpointer: Checkpointer | None = None,
    after_round: AfterRound | None = None,
) -> Checkpoint:
    """Train an original on its part of ``dataset``.

    ``mask``: train under this mask from the initial weights, instead of finding one.
    ``checkpointer`` and ``after_round``: see :func:`mu.originals.rounds.train_network`.
    """
    if mask is not None:
        recipe = replace(recipe, given_mask=mask.fingerprint)
    spec = Spec(DataSpec.of(dataset), recipe, history=("pruned",))
    parts = spec.split(dataset)
    val = dataset.training_subset(parts.val)
    model, mask = train_network(
        recipe,
        dataset.training_subset(parts.train),
        run,
        mask=mask,
        val=val if len(val) else None,
        seed=recipe.seed,
        checkpointer=checkpointer,
        after_round=after_round,
    )
    return Checkpoint(model, mask, spec)
