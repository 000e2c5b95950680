"""Training a network by a recipe, over all its rounds of pruning: what originals and Retrain do."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from torch import Tensor, nn
from torch.optim import Optimizer

from mu.data.images import Subset
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.models.head import head_name
from mu.models.whitening import fit_to
from mu.pruning.base import prunable
from mu.recipes.recipe import Recipe, Stage
from mu.runs import Run
from mu.training.loop import train
from mu.training.progress import Checkpointer, Progress
from mu.training.resumable import Bookmark

AfterRound = Callable[[int, nn.Module, Run], None]


def train_network(
    recipe: Recipe,
    data: Subset,
    run: Run,
    *,
    mask: Mask | None = None,
    val: Subset | None = None,
    seed: int | None = None,
    checkpointer: Checkpointer | None = None,
    after_round: AfterRound | None = None,
) -> tuple[nn.Module, Mask]:
    """Train on ``data`` by the recipe: the path of originals and of Retrain alike.

    Without a mask, and with a pruner that looks at trained weights: train the dense network, then
    in each round prune, put weights and buffers back to where ``rewind`` says, and go on from
    that epoch of the schedule with a fresh optimiser, under the mask. With a pruner that looks at
    initial weights: prune, round after round, and train once. At rate 0 the training of the dense
    network is all. With a mask: train under it, once, from the initial weights; by a recipe whose
    rounds go on from trained weights (``rewind=pt``) the same stages as without, with this mask in
    every round. Gives the network, on the run's device, and its mask.

    Parameters
    ----------
    val
        Validation samples; their accuracy is logged after each epoch.
    seed
        Of the order of samples and what the pruner draws, by default the run's; initial weights
        come from the recipe's.
    checkpointer
        Keeps the progress after each epoch. Where it holds some already, training goes on there,
        and on the CPU ends with the very weights that it would have had without the interruption.
    after_round
        Called with the round, the network and the run when a round is over; 0 is the dense one.
    """
    stages = recipe.stages(mask_is_known=mask is not None)
    seed = run.seed if seed is None else seed
    whole = _Whole(recipe, stages, data, run, val, seed, Bookmark(run, checkpointer), mask)
    before = whole.bookmark.before
    if before is None:
        whole.begin()
    for stage in stages:
        if before is not None and stage.round < before.round:
            continue
        interrupted = before if before is not None and stage.round == before.round else None
        if interrupted is None and stage is not stages[0]:
            whole.prune_and_rewind(stage)
        whole.train(stage, interrupted)
        if after_round is not None:
            after_round(stage.round, whole.model, run)
    return whole.model, whole.mask


@dataclass
class _Whole:
    """The training with all its rounds, and what they hand to each other."""

    recipe: Recipe
    stages: list[Stage]
    data: Subset
    run: Run
    val: Subset | None
    seed: int
    bookmark: Bookmark
    given: Mask | None
    rewind: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.model = self.run.place(self._fresh(), self.data.images.shape)
        self.pruner = self.recipe.make_pruner()
        head = head_name(self.model, self.recipe.model)
        self.mask = Mask.dense(self.model, prunable(self.model, self.pruner.scope, head))

    def _fresh(self) -> nn.Module:
        """The network with its initial weights; what is fixed is fitted to the samples."""
        model = self.recipe.model.build(self.recipe.seed)
        fit_to(model, self.data, self.recipe.seed)
        return model

    def begin(self) -> None:
        """Take the mask that is given, or find the one of the initial weights, if any."""
        given = self.given if len(self.stages) == 1 else None
        if given is not None:
            self.mask = given
        elif self.pruner.when == "initial" and self.pruner.rate > 0:
            for number in range(1, self.pruner.rounds + 1):
                self._prune(number)
        if self.mask.is_dense or given is not None:
            self.run.log("sparsity", self.mask.sparsity, 0)

    def prune_and_rewind(self, stage: Stage) -> None:
        """Find the mask of a round, and put the weights where it starts from."""
        self._prune(stage.round)
        if self.recipe.rewinding.rewind == "pt":
            return
        if stage.start_epoch == 0:
            self.rewind = dict(self._fresh().state_dict())
        self.model.load_state_dict(self.rewind)

    def _prune(self, number: int) -> None:
        found = self.given
        if found is None:
            keep = self.pruner.keeps(self.mask.total, number)
            found = self.pruner.prune(
                self.model, self.mask, self.data, self.run, keep=keep, seed=self.seed
            )
        self.mask = self.run.ranks.same(found)  # a GPU's rounding may rank two weights otherwise
        self.run.log("sparsity", self.mask.sparsity, number)

    def train(self, stage: Stage, before: Progress | None) -> None:
        """Run a stage, or what an interruption left of it."""
        if before is not None:
            self.bookmark.go_on(self.model, before)
            self.mask, self.rewind = before.mask, dict(before.rewind)
        kind = "dense" if self.mask.is_dense else f"{self.mask.sparsity:.1f} % sparse"
        train(
            self.model,
            self.data,
            self.recipe.training,
            self.run,
            mask=self.mask,
            start_epoch=before.epoch if before else stage.start_epoch,
            first_step=stage.first_step,
            seed=self.seed,
            label=f"training, {kind}",
            optimizer_state=before.optimizer if before else None,
            after_epoch=partial(self._after_epoch, stage),
        )

    def _after_epoch(self, stage: Stage, epoch: int, optimizer: Optimizer) -> None:
        if self.val is not None:
            accuracy = predict(self.model, self.val, self.run).accuracy()
            self.run.log("VA", accuracy, stage.first_step + epoch)
        later = self.stages[1:]  # all of them start at the same epoch
        if stage is self.stages[0] and later and epoch + 1 == later[0].start_epoch:
            self.rewind = copy.deepcopy(self.model.state_dict())
        self.bookmark.put(
            self.model, self.mask, optimizer, epoch + 1, round=stage.round, rewind=self.rewind
        )
