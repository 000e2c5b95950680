"""An extra output of a network, for as long as it is trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.checkpoints import Checkpoint
from mu.models.head import head_for
from mu.runs import Run, seeded
from mu.training.objective import Loss

WEIGHT, BIAS = "expanded_weight", "expanded_bias"


@contextmanager
def expanded(checkpoint: Checkpoint, run: Run, option: str, remedy: str) -> Iterator[Loss]:
    """The head has one more row in the block; gives the cross-entropy of calling all inputs that.

    The row is a parameter of the network itself, so it is trained and kept with the others, and
    drawn as torch draws those of a linear layer. The network's output stays what it is without:
    only the loss knows the new logit, which it makes of what the head was given last. UserError if
    the network has no head; of ``option``, with the ``remedy``.
    """
    model = checkpoint.model
    head = head_for(option, model, checkpoint.spec.recipe.model.example(), remedy).module
    with seeded(run.seed, "extra output", torch.device("cpu")):
        drawn = nn.Linear(head.weight[0].numel(), 1, bias=head.bias is not None)
    for name, value in zip((WEIGHT, BIAS), drawn.to(head.weight).parameters(), strict=False):
        model.register_parameter(name, value)
    taken: list[Tensor] = []

    def keep(_head: nn.Module, given: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        taken[:] = (*given, *named.values())

    def loss(logits: Tensor, _labels: Tensor) -> Tensor:
        (signal,) = taken
        more = F.linear(signal.flatten(1), model.get_parameter(WEIGHT), getattr(model, BIAS, None))
        labels = torch.full((len(logits),), logits.shape[1], device=logits.device)
        return F.cross_entropy(torch.cat([logits, more], 1), labels)

    hook = head.register_forward_pre_hook(keep, with_kwargs=True)
    try:
        yield loss
    finally:
        hook.remove()
        for name in (WEIGHT, BIAS):
            model._parameters.pop(name, None)
