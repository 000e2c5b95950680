"""What a step minimises, as one module: so whatever wraps it sees all of its gradients come."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from mu.distributed.group import explained
from mu.runs import Run

Loss = Callable[..., Tensor]  # of logits, labels and the logits of each guide
Penalty = Callable[[int], Tensor]
Second = tuple[Tensor, Tensor, float]  # images, labels and weight of a batch of the second set


class Term(NamedTuple):
    """What a step minimises on a batch of data."""

    # Of logits (n, classes), labels (n,) and, for each guide, its logits: a mean over samples
    loss: Loss
    # Networks that are shown the same images, and are not trained
    guides: tuple[nn.Module, ...] = ()

    def of(self, model: nn.Module, images: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Logits (n, classes) and loss."""
        with torch.no_grad():
            guided = [guide(images) for guide in self.guides]
        logits = model(images)
        return logits, self.loss(logits, labels, *guided)


class Objective(nn.Module):
    """The loss of a network on a batch, and a penalty on its weights.

    ``term``: what is minimised on a batch. ``beside``: the same of a batch of a second set, where
    there is one. ``penalty``: of the epoch. ``run``: says how to pass forward.
    """

    def __init__(
        self,
        model: nn.Module,
        term: Term,
        penalty: Penalty | None,
        run: Run,
        beside: Term | None = None,
    ) -> None:
        super().__init__()
        self.model, self.penalty, self.run = model, penalty, run
        self.term, self.beside = term, beside  # tuples, so that guides are no part of this module

    def forward(
        self,
        images: Tensor,
        labels: Tensor,
        epoch: int,
        weight: float,
        second: Second | None = None,
        turn: bool = False,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Logits (n, classes) and loss, and the scalar to differentiate.

        ``weight``: of the loss: what the batch is in proportion to an equal share of a larger one.
        The second batch is passed forward by itself, and adds to the scalar alone. ``turn``:
        whether the batch is of the second set, which takes a step of its own.
        """
        term = self.beside if turn and self.beside is not None else self.term
        with self.run.autocast():
            logits, value = term.of(self.model, images, labels)
        whole = value if weight == 1 else weight * value
        if second is not None and self.beside is not None:
            more, known, share = second
            with self.run.autocast():
                whole = whole + share * self.beside.of(self.model, more, known)[1]
        if self.penalty is not None:
            whole = whole + self.penalty(epoch)
        return logits.detach(), value.detach(), whole


@contextmanager
def averaged(
    objective: Objective, sample: Callable[[], tuple[Tensor, Tensor]], run: Run
) -> Iterator[nn.Module]:
    """The objective, whose gradients in the block are means over all ranks.

    Weights and buffers are those of the first rank at its beginning. Where batch normalisation is
    not synchronised, each rank has running statistics of its own; see :func:`share_statistics`.
    ``sample``: gives a few images and labels, to see which parameters have gradients at all.
    """
    if run.ranks.size == 1:
        yield objective
        return
    with ExitStack() as stack:
        stack.enter_context(explained())
        if run.sync_bn:
            stack.enter_context(synchronised(objective.model))
        idle = _has_idle_parameters(objective, *sample())
        with warnings.catch_warnings():  # of torch 2.14: the name it has since is not known to 2.11
            warnings.filterwarnings("ignore", "`broadcast_buffers` is deprecated")
            parallel = DistributedDataParallel(
                objective,
                device_ids=[run.device] if run.device.type == "cuda" else None,
                broadcast_buffers=False,
                find_unused_parameters=idle,
            )
        yield parallel


def _has_idle_parameters(objective: Objective, images: Tensor, labels: Tensor) -> bool:
    """Whether a parameter plays no part in the objective, for which averaging would wait."""
    was_training = objective.model.training
    objective.model.eval()
    whole = objective(images, labels, 0, 1.0)[2]
    objective.model.train(was_training)
    parameters = [one for one in objective.model.parameters() if one.requires_grad]
    found = torch.autograd.grad(whole, parameters, allow_unused=True)
    return any(gradient is None for gradient in found)


@contextmanager
def synchronised(model: nn.Module) -> Iterator[None]:
    """Have the batch normalisations of ``model`` take statistics over all ranks for the block.

    They keep their parameters and buffers, so nothing is lost on the way in or out.
    """
    places = [
        (parent, name, child)
        for parent in model.modules()
        for name, child in parent.named_children()
        if isinstance(child, _BatchNorm)
    ]
    for parent, name, child in places:
        convert = nn.SyncBatchNorm.convert_sync_batchnorm
        setattr(parent, name, convert(child))  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        for parent, name, child in places:
            setattr(parent, name, child)


def share_statistics(model: nn.Module, run: Run) -> None:
    """Make the running statistics of batch normalisation that go on the mean of all ranks'."""
    tracked = [
        one
        for one in model.modules()
        if isinstance(one, _BatchNorm) and one.track_running_stats and one.training
    ]
    found = [one for each in tracked for one in (each.running_mean, each.running_var)]
    run.ranks.average([one for one in found if one is not None])
