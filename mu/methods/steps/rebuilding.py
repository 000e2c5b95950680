"""Small weights drawn anew, a training that keeps the original's entropy, and half precision."""

from __future__ import annotations

from math import sqrt

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.checkpoints import Checkpoint
from mu.data.images import Subset
from mu.masks import Mask
from mu.methods.steps.weighting import weighted_mean
from mu.pruning.scoring.ranking import keep_largest
from mu.runs import Run
from mu.training.objective import Loss

LARGEST_HALF = torch.finfo(torch.float16).max


def layer_weights(checkpoint: Checkpoint) -> Mask:
    """What the mask keeps of weights and biases of convolutions and linear layers."""
    model, mask = checkpoint.model, checkpoint.mask
    layers = [one for one in model.modules() if isinstance(one, nn.Conv2d | nn.Linear)]
    theirs = {id(one) for layer in layers for one in layer.parameters(recurse=False)}
    found = {name: one for name, one in model.named_parameters() if id(one) in theirs}
    return Mask(
        {
            name: mask[name] if name in mask else torch.ones_like(one, dtype=torch.bool)
            for name, one in found.items()
        }
    )


@torch.no_grad()
def redraw_smallest(checkpoint: Checkpoint, share: float, run: Run) -> None:
    """Draw the share of :func:`layer_weights` anew that is smallest, all layers ranked together.

    A weight is drawn uniformly up to 1 / sqrt(fan-in) of its layer on either side; a bias is set
    to zero.
    """
    weights = layer_weights(checkpoint)
    parameters = dict(checkpoint.model.named_parameters())
    sizes = {name: parameters[name].abs() for name in weights}
    large = keep_largest(sizes, weights, weights.kept - round(share * weights.kept))
    draws = run.generator("weights drawn anew")
    for name in weights:
        weight = parameters[name]
        fresh = torch.zeros(weight.shape)
        if weight.ndim > 1:
            bound = 1 / sqrt(weight[0].numel())
            fresh.uniform_(-bound, bound, generator=draws)
        small = (weights[name] & ~large[name]).to(weight.device)
        weight.copy_(torch.where(small, fresh.to(weight), weight))


def class_weights(data: Subset, classes: int, exponent: float) -> Tensor:
    """The number of samples of each class, at least 1, to the power ``exponent``: (classes,)."""
    return data.labels.bincount(minlength=classes).clamp(min=1).double() ** exponent


def keeping_entropy(weights: Tensor, run: Run) -> Loss:
    """Cross-entropy weighted by class, and the squared difference of entropies to the guide's."""

    def loss(logits: Tensor, labels: Tensor, guided: Tensor) -> Tensor:
        each = F.cross_entropy(logits, labels, reduction="none")
        counts = weights.to(each)[labels]
        return weighted_mean(each, counts, run) + F.mse_loss(entropy(logits), entropy(guided))

    return loss


def entropy(logits: Tensor) -> Tensor:
    """Of the softmax of logits (n, classes), in nats: (n,)."""
    logs = logits.log_softmax(1)
    return -(logs.exp() * logs).sum(1)


@torch.no_grad()
def round_to_half(model: nn.Module) -> None:
    """Round weights and running statistics to float16, and keep their type; zeros stay zero."""
    for value in model.state_dict().values():
        if value.is_floating_point():
            value.copy_(value.clamp(-LARGEST_HALF, LARGEST_HALF).half())
