"""What one process and several do alike: a function computes everything, in one process group.

Starting processes takes longer than all of it.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.distributed.ranks import Ranks
from mu.errors import UserError
from mu.evaluation.outputs import predict
from mu.evaluation.reductions import REDUCTIONS
from mu.evaluation.unlearning import evaluate
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.masks import Mask
from mu.methods import METHODS as METHOD_CLASSES
from mu.methods import make_method, method_class
from mu.methods.base import unlearn
from mu.methods.stopping import Stopping
from mu.originals.train import make_recipe, train_original
from mu.runs import Record, Run
from mu.training.loop import train
from mu.training.progress import Progress
from mu.training.recipe import Training
from mu.transfer.checkpoint import transfer_training, transferred
from tests.checkpointers import FolderCheckpointer
from tests.declared import declared
from tests.distributed.networks import IDLE, NORMALISED, SMOOTH
from tests.helpers import make_dataset

WAYS: dict[str, dict[str, Any]] = {
    "plain": {},
    "augmented": {"augment": "crop_flip"},
    "sparse": {"rate": 0.7, "rewind_epoch": 1},
    "iterated": {"pruner": "imp", "rate": 0.4, "rounds": 2},
    "before training": {"pruner": "snip", "rate": 0.5},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1},
    "label smoothing": {"label_smoothing": 0.1},
    "sam": {"sam_rho": 0.05},
    "adaptive sam": {"sam_rho": 1.0, "sam_adaptive": True, "rate": 0.5},
    "large batches": {"batch_size": 61},
    "batches of two": {"batch_size": 2},
    "warm-up": {"warmup": 1, "schedule": "cosine"},
    "a layer that is never used": {"arch": IDLE},
    "fast": {
        "augment": "shift_alternate",
        "nesterov": True,
        "decoupled_decay": True,
        "lookahead": 2,
        "first_layer_epochs": 1,
        "schedule": "triangle",
    },
}
SAID: dict[str, dict[str, Any]] = {
    "ft": {"lr": 0.02},
    "retrain": {},
    "retrain, its own mask": {"mask_from": "retain"},
    "l1_sparse": {"lr": 0.02, "alpha": 1e-3},
    "l1_sparse, exact zeros": {"lr": 0.02, "alpha": 1e-2, "exact_zeros": True},
    "ga": {"lr": 0.01, "epochs": 3},
    "ga, by a rule": {"epochs": 4, "max_accuracy_drop": 50.0},
    "iu": {"alpha": 0.5},
    "ff": {"alpha": 1e-3, "fisher_labels": "exact"},
}
# Of methods that are not said anything of: a scale, and what their test file declares.
METHODS = {
    **SAID,
    **{
        name: {kind.scale[0]: 0.02, **declared(kind, "SHARED", {})}
        for name, kind in METHOD_CLASSES.items()
        if name not in {way.partition(",")[0] for way in SAID} and issubclass(kind, Stopping)
    },
}
TUNES = ("head", "all")
COUNTS = (2, 3, 5, 8)
TOTALS = (0, 1, 2, 5)
KEPT = 2  # epochs, in trainings that others go on with


class Made(NamedTuple):
    """A network and what its run logged and spent."""

    weights: dict[str, Tensor]
    mask: Mask
    records: list[Record]
    notes: list[str]
    samples_seen: int

    @classmethod
    def of(cls, checkpoint: Checkpoint, run: Run) -> Made:
        weights = copy.deepcopy(checkpoint.model.state_dict())
        return cls(weights, checkpoint.mask, run.records, run.notes, run.samples_seen)


class Folders(NamedTuple):
    """Where progress is kept for others, and where that of others lies."""

    own: Path
    other: Path | None = None


def a_run() -> Run:
    return Run(device="cpu", show_progress=False, seed=5)


def data_of(samples: int = 61) -> ImageDataset:
    # Under a name that has defaults.
    return replace(make_dataset(train=samples, test=21, size=12), name="digits")


def original(**settings: Any) -> tuple[Checkpoint, Run]:
    samples = settings.pop("samples", 61)
    given = {"arch": SMOOTH, "epochs": 2, "batch_size": 8, "lr": 0.05, "rate": 0.0, **settings}
    run, data = a_run(), data_of(samples)
    return train_original(data, make_recipe(data, **given), run), run


def trained(way: str) -> Made:
    return Made.of(*original(**{"augment": "none", **WAYS[way]}))


@cache
def sparse() -> Checkpoint:
    """What is unlearnt from; it fits its data, so that a rule has something to decide."""
    return original(rate=0.5, epochs=20, lr=0.2)[0]


def split_of(checkpoint: Checkpoint, *, whole_class: bool = False) -> ForgetSplit:
    data = data_of()
    parts = checkpoint.spec.split(data)
    of_class = parts.train[data.train.labels[parts.train].numpy() == 0]
    return ForgetSplit.of(data, parts, of_class if whole_class else parts.train[:7])


def unlearnt(way: str) -> Made:
    name, settings = way.partition(",")[0], METHODS[way]
    kind = method_class(name)
    settings = {"epochs": 2, **settings} if "epochs" in kind.names() else settings
    checkpoint, run = copy.deepcopy(sparse()), a_run()
    # Few samples are forgotten already, as far as the rule can tell.
    split = split_of(checkpoint, whole_class="by a rule" in way or kind.classes_only)
    unlearn(make_method(name, settings), checkpoint, split, run)
    return Made.of(checkpoint, run)


def transfer(tune: str) -> Made:
    target = replace(make_dataset(train=31, classes=2, size=12, seed=9), name="digits")
    training, run = transfer_training("digits", tune, epochs=2, batch_size=8), a_run()
    return Made.of(transferred(sparse(), target, training, run, tune=tune), run)


def evaluated() -> dict[str, Any]:
    """Outputs of three sets, with logits and reduced, and all that is measured."""
    model, split = sparse().model, split_of(sparse())
    sets = (split.forget_set, split.retain_set, data_of().test_subset(np.array([4])))
    whole = [predict(model, one, a_run()) for one in sets]
    few = [predict(model, one, a_run(), most_logits=1) for one in sets]
    return {
        "logits": [one.logits for one in whole],
        "labels": [one.labels for one in whole],
        "kept": [one.has_logits for one in few],
        "scores": [{name: one.score(name) for name in REDUCTIONS} for one in few],
        "metrics": evaluate(model, split, a_run()),
    }


def step(count: int) -> dict[str, Tensor]:
    """Weights after one plain step on a batch of so many samples."""
    data, model = data_of(), first_network()
    settings = {"epochs": 1, "lr": 0.5, "batch_size": count, "momentum": 0.0, "weight_decay": 0.0,
                "augment": "none", "schedule": "constant"}  # fmt: skip
    train(model, data.training_subset(np.arange(count)), Training(**settings), a_run())
    return dict(model.state_dict())


def first_network() -> nn.Module:
    return make_recipe(data_of(), arch=SMOOTH).model.build(3)


def information() -> list[Tensor]:
    """Fisher information and mean gradient of five samples."""
    model, run = first_network(), a_run()
    rows = data_of().training_subset(np.arange(5))
    free = FreeWeights(model, Mask.dense(model, []))
    return [*diagonal(model, rows, run, labels="exact"), mean_gradient(model, free, rows, run)]


def of_all_ranks(arch: str) -> list[Tensor]:
    """All weights, buffers and the mask of each rank's own copy, after a training."""
    made, run = original(arch=arch, rate=0.6, rewind_epoch=1)
    values = [one.double().reshape(-1) for one in made.model.state_dict().values()]
    values += [made.mask[name].double().reshape(-1) for name in made.mask]
    return list(run.ranks.gather(torch.cat(values)[None], run.ranks.size))


def gathered(total: int) -> Tensor:
    ranks = a_run().ranks
    first, last = ranks.part(0, total)
    return ranks.gather(torch.arange(first, last).float()[:, None], total)


def same_weights() -> Tensor:
    """Weights that differed before."""
    run, model = a_run(), nn.Linear(1, 1)
    nn.init.constant_(model.weight, float(run.ranks.rank + 1))
    run.ranks.same_weights(model)
    return run.ranks.gather(model.weight.detach(), run.ranks.size)


def mistake() -> str:
    """What a loss that is NaN in all ranks says."""
    try:
        original(lr=1e30, epochs=3)
    except UserError as error:
        return str(error)
    return ""


class FewEpochs(FolderCheckpointer):
    """Keeps the first epochs alone, as if the training were interrupted then."""

    kept = 0

    def save(self, progress: Progress) -> None:
        self.kept += 1
        if self.kept <= KEPT:
            super().save(progress)


def kept_training(folder: Path, keep: type[FolderCheckpointer] = FolderCheckpointer) -> Made:
    """A training that goes on from what the folder holds, if it holds something."""
    data, run = data_of(), a_run()
    recipe = make_recipe(
        data, arch=SMOOTH, epochs=4, batch_size=8, lr=0.05, rate=0.5, rewind_epoch=1
    )
    return Made.of(train_original(data, recipe, run, checkpointer=keep(folder, {})), run)


def few(folders: Folders) -> dict[str, Any]:
    """What is compared between any numbers of processes."""
    return {
        "size": Ranks.of("cpu").size,
        "few samples": Made.of(*original(samples=9, batch_size=2, lr=0.1)),
        "information": information(),
        **({"gone on": kept_training(folders.other)} if folders.other else {}),
    }


def all_of(folders: Folders) -> dict[str, Any]:
    """Everything, by name; the ranks share one process group."""
    with _one_thread():
        found: dict[str, Any] = {f"original, {way}": trained(way) for way in WAYS}
        found |= {f"unlearnt, {way}": unlearnt(way) for way in METHODS}
        found["before transfer"] = sparse().model.state_dict()
        found |= {f"transfer, {tune}": transfer(tune) for tune in TUNES}
        found |= {f"step, {count}": step(count) for count in COUNTS}
        found |= {f"gathered, {total}": gathered(total) for total in TOTALS}
        found |= {f"ranks, {arch}": of_all_ranks(arch) for arch in (SMOOTH, NORMALISED)}
        found["evaluated"] = evaluated()
        found["statistics"] = Made.of(*original(arch=NORMALISED, lr=1e-9, epochs=30))
        found["same weights"] = same_weights()
        found["mistake"] = mistake()
        found["kept"] = kept_training(folders.own, FewEpochs)
        return found | few(folders)


@contextmanager
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
