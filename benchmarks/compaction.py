"""What exact compaction removes: channels, weights and multiply-adds, by network and pruner.

    python -m benchmarks.compaction [ARCH ...]

The weights are fresh ones, the statistics of normalisation those of noise, and the images of
32x32 pixels in three channels, so that it takes seconds and no data. Trained networks are pruned
otherwise: what is removed of them, ``mu export`` says.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import numpy as np
import torch
from safetensors.torch import save
from torch import nn

from mu.compact.network import Compaction, compact
from mu.compact.sizes import sizes
from mu.compact.sparse import can_be_sparse, with_sparse
from mu.data.images import Images, Subset
from mu.masks import Mask
from mu.models import ModelSpec
from mu.models.head import head_name
from mu.pruning import make_pruner
from mu.pruning.base import prunable
from mu.runs import Run

RATE, CLASSES = 0.95, 10
PRUNERS = ("omp", "channel")
NETWORKS = ("resnet20", "resnet18")
LINE = "| {:<18} | {:<8} | {:>15} | {:>25} | {:>27} | {} | {:>10.1e} |"


@torch.no_grad()
def pruned(arch: str, pruner: str, rate: float = RATE) -> nn.Module:
    """A network with fresh weights under its mask, in evaluation mode."""
    spec, draws = ModelSpec(arch, CLASSES, 3), torch.Generator().manual_seed(0)
    model = spec.build(0)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.bias is not None:
            module.bias.normal_(std=0.2, generator=draws)
    model.train()(torch.randn(64, 3, 32, 32, generator=draws))  # statistics
    model.eval()
    pixels = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=draws)
    images = Images(pixels, torch.arange(64) % CLASSES)
    data = Subset(images, np.arange(64), (0.5,) * 3, (0.25,) * 3)
    dense = Mask.dense(model, prunable(model, "body", head_name(model, spec)))
    make_pruner(pruner, {"rate": rate}).prune(model, dense, data, Run(device="cpu")).apply(model)
    return model


@torch.no_grad()
def measured(arch: str, pruner: str) -> str:
    """A line of the table."""
    model = pruned(arch, pruner)
    batch = torch.randn(8, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    done = compact(model, batch[:2], arch)
    before, after = sizes(model, batch), sizes(done.network, batch)
    difference = float((model(batch) - done.network(batch)).abs().max())
    pairs = (done.channels, *zip(before, after, strict=True))
    cells = (f"{one:,} → {other:,}" for one, other in pairs)
    return LINE.format(arch, pruner, *cells, " | ".join(_megabytes(model, done)), difference)


def _megabytes(model: nn.Module, done: Compaction) -> Iterator[str]:
    """Of the weights, of the mask, and of the compact network's weights, dense and as CSR."""
    mask = Mask({name: model.get_parameter(name) != 0 for name in prunable(model, "body", None)})
    able = [name for name, one in done.network.named_modules() if can_be_sparse(one)]
    states = [one.state_dict() for one in (model, done.network, with_sparse(done.network, able))]
    whole, compact_, sparse = (len(save(one)) for one in states)
    yield from (f"{one / 1e6:.3f}" for one in (whole, len(mask.to_bytes()), compact_, sparse))


def main() -> None:
    """Print the table, as Markdown."""
    print(
        "| network | pruner | channels | weights | multiply-adds | MB: weights | mask | compact | "
        "compact, CSR | difference |"
    )
    print(f"|---|---|{'---:|' * 8}")
    for arch in sys.argv[1:] or NETWORKS:
        for pruner in PRUNERS:
            print(measured(arch, pruner), flush=True)


if __name__ == "__main__":
    main()
