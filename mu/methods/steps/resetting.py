"""What is done to weights before a training: some drawn anew, kernels transposed."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.runs import Run


def smallest(
    checkpoint: Checkpoint, split: ForgetSplit, run: Run, share: float
) -> dict[str, Tensor]:
    """Which kept weights have the smallest |gradient|: booleans by name, a share of each layer.

    The gradient is of the cross-entropy of as many retained samples as are forgotten, minus that
    of the forget set.
    """
    model, mask = checkpoint.model, checkpoint.mask
    free = FreeWeights(model, mask)
    part = split.retain_set.drawn(len(split.forget), run.generator("retained part"))
    descent, ascent = (mean_gradient(model, free, one, run) for one in (part, split.forget_set))
    # Sums over samples, of which the retained part may have fewer.
    sizes = dict(free.tensors((len(part) * descent - len(split.forget) * ascent).abs()))
    chosen = {}
    for name in mask:
        size = sizes[name].cpu().masked_fill(~mask[name], torch.inf).reshape(-1)
        count = round(share * int(mask[name].sum()))
        flags = torch.zeros(size.shape, dtype=torch.bool)
        flags[size.argsort(stable=True)[:count]] = True
        chosen[name] = flags.view(mask[name].shape)
    return chosen


@torch.no_grad()
def draw_anew(checkpoint: Checkpoint, chosen: dict[str, Tensor], run: Run) -> None:
    """Draw the chosen weights again, by Kaiming's normal with fan-out."""
    draws = run.generator("weights drawn anew")
    parameters = dict(checkpoint.model.named_parameters())
    for name, flags in chosen.items():
        weight = parameters[name]
        fresh = torch.empty(weight.shape)
        nn.init.kaiming_normal_(fresh, mode="fan_out", nonlinearity="relu", generator=draws)
        weight.copy_(torch.where(flags.to(weight.device), fresh.to(weight), weight))


@torch.no_grad()
def transpose_kernels(checkpoint: Checkpoint) -> int:
    """Swap the last two axes of every square convolution's kernel; how many those are.

    Fixed ones stay.
    """
    kernels = {
        one.weight
        for one in checkpoint.model.modules()
        if isinstance(one, nn.Conv2d) and one.kernel_size[0] == one.kernel_size[1] > 1
        if isinstance(one.weight, nn.Parameter)
    }
    for kernel in kernels:
        kernel.copy_(kernel.mT.clone())
    checkpoint.mask.apply(checkpoint.model)
    return len(kernels)


@torch.no_grad()
def take_over(
    model: nn.Module, other: nn.Module, parameters: Collection[str], modules: Collection[str]
) -> None:
    """Put these parameters of another network of the architecture, and buffers, into ``model``.

    ``modules``: names of those whose buffers, their running statistics, are taken over too; weights
    that are fixed stay.
    """
    theirs, named = dict(other.named_parameters()), dict(model.named_parameters())
    for name in parameters:
        named[name].copy_(theirs[name])
    for name in modules:
        fresh = dict(other.get_submodule(name).named_buffers(recurse=False))
        for key, buffer in model.get_submodule(name).named_buffers(recurse=False):
            if key != "weight":
                buffer.copy_(fresh[key])
