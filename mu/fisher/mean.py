"""The gradient of the mean loss of a set of samples, in evaluation mode."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.fisher.free import FreeWeights
from mu.fisher.per_sample import evaluating, score
from mu.runs import Run

BATCH_SIZE = 128


def mean_gradient(model: nn.Module, free: FreeWeights, data: Subset, run: Run) -> Tensor:
    """Of the mean cross-entropy of ``data`` by the free weights: a vector (free weights,).

    Ranks share the samples.
    """
    run.place(model, data.images.shape)
    parameters = list(model.parameters())
    result = parameters[0].new_zeros(free.size)
    own = data.part(*run.ranks.part(0, len(data)))
    with evaluating(model):
        model.requires_grad_(True)  # of parameters that are never trained, too
        batches = Batches(own, BATCH_SIZE, run.device).in_order() if len(own) else ()
        for images, labels in batches:
            logits = model(images.to(parameters[0].dtype))
            errors = score(logits.detach(), labels) / -len(data)
            found = torch.autograd.grad(
                logits, parameters, errors, allow_unused=True, materialize_grads=True
            )
            result += free.vector(found)
    run.samples_seen += len(data)
    return run.ranks.add_up(result)
