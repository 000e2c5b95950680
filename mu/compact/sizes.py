"""How large a network is, and what a pass costs."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


class Sizes(NamedTuple):
    """Of a network."""

    params: int  # weights and biases, those that are fixed too; not statistics
    macs: int  # multiplications and additions of a pass of one image, those of masked weights too


@torch.no_grad()
def sizes(model: nn.Module, images: Tensor) -> Sizes:
    """``images``: one or more, as the network takes them; the first is used."""
    counter = FlopCounterMode(display=False)
    with counter:
        model(images[:1])
    weights = {
        one.data_ptr(): one.numel()  # of what layers share, once
        for name, one in model.state_dict().items()
        if not name.endswith(STATISTICS)
    }
    return Sizes(sum(weights.values()), counter.get_total_flops() // 2)
