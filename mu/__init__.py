"""mu: machine unlearning of image classifiers. Prune first, then unlearn.

Everything an entry point does can be done from here, with or without MLflow::

    import mu

    run = mu.Run(seed=0)
    data = mu.load_data("digits")
    original = mu.train_original(data, mu.make_recipe(data, rate=0.95), run)
    split = mu.forget_split(original, data, "class:3")
    mu.make_method("l1_sparse").unlearn(original, split, run)
    print(mu.evaluate(original.model, split, run))

or, as a tracked run, what the command line does::

    original = mu.prune(mu.Request(original={"rate": 0.95}))
    mu.unlearn(mu.Request(entry={"prune_run_id": original.run_id, "forget": "class:3"}))

Names are imported when first used, so ``import mu`` is quick.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint as Checkpoint
    from mu.checkpoints import Spec as Spec
    from mu.checkpoints import forget_split as forget_split
    from mu.cli.requests import Request as Request
    from mu.data import load_data as load_data
    from mu.data.forget_split import ForgetSplit as ForgetSplit
    from mu.data.images import ImageDataset as ImageDataset
    from mu.errors import UserError as UserError
    from mu.evaluation.gap import gaps as gaps
    from mu.evaluation.unlearning import evaluate as evaluate
    from mu.foreign.originals import import_original as import_original
    from mu.masks import Mask as Mask
    from mu.methods import make_method as make_method
    from mu.originals.train import make_recipe as make_recipe
    from mu.originals.train import train_original as train_original
    from mu.pruning import make_pruner as make_pruner
    from mu.recipes.recipe import Recipe as Recipe
    from mu.runs import Run as Run
    from mu.tasks.api import prune as prune
    from mu.tasks.api import unlearn as unlearn
    from mu.tracking import load_checkpoint as load_checkpoint
    from mu.tracking import load_mask as load_mask
    from mu.tracking import load_model as load_model
    from mu.transfer.checkpoint import transfer_training as transfer_training
    from mu.transfer.checkpoint import transferred as transferred

_HOME = {
    "Checkpoint": "mu.checkpoints",
    "ForgetSplit": "mu.data.forget_split",
    "ImageDataset": "mu.data.images",
    "Mask": "mu.masks",
    "Recipe": "mu.recipes.recipe",
    "Request": "mu.cli.requests",
    "Run": "mu.runs",
    "Spec": "mu.checkpoints",
    "UserError": "mu.errors",
    "evaluate": "mu.evaluation.unlearning",
    "forget_split": "mu.checkpoints",
    "gaps": "mu.evaluation.gap",
    "import_original": "mu.foreign.originals",
    "load_checkpoint": "mu.tracking",
    "load_data": "mu.data",
    "load_mask": "mu.tracking",
    "load_model": "mu.tracking",
    "make_method": "mu.methods",
    "make_pruner": "mu.pruning",
    "make_recipe": "mu.originals.train",
    "prune": "mu.tasks.api",
    "train_original": "mu.originals.train",
    "transfer_training": "mu.transfer.checkpoint",
    "transferred": "mu.transfer.checkpoint",
    "unlearn": "mu.tasks.api",
}
__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'mu' has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
