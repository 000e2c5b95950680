"""Ways to multiply a sparse convolution's weights, on one core: why mu.compact takes the last one.

    python -m benchmarks.sparse_layers [--share 0.05] [--batch 1]      a minute

Milliseconds of a pass, median, all ways in turn, of 3x3 convolutions of which ``share`` of the
weights are left at random: dense; torch.sparse (CSR, by MKL) on torch's own unfolded images, and on
a copy of a strided view; and the layer that ``mu export`` writes.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor, nn
from torch.nn import functional

from mu.compact.latency import latencies
from mu.compact.sparse import with_sparse
from mu.compact.trace import traced

SHAPES = ((64, 32), (128, 16), (256, 8), (512, 4), (16, 32), (32, 16), (64, 8))  # channels, pixels


def times(channels: int, pixels: int, share: float, batch: int) -> dict[str, float]:
    """The median of each way."""
    draws = torch.Generator().manual_seed(0)
    layer = nn.Conv2d(channels, channels, 3, padding=1).requires_grad_(False)
    layer.weight *= torch.rand(layer.weight.shape, generator=draws) < share
    images = torch.randn(batch, channels, pixels, pixels, generator=draws)
    matrix = layer.weight.flatten(1).to_sparse_csr()
    matrix = torch.sparse_csr_tensor(
        matrix.crow_indices().int(), matrix.col_indices().int(), matrix.values(), matrix.shape
    )
    network = traced(nn.Sequential(layer), images.repeat(2, 1, 1, 1), "layer")

    def product(columns: Tensor) -> Tensor:
        result = matrix @ columns + layer.bias.unsqueeze(1)  # type: ignore[union-attr]
        return result.view(channels, batch, pixels, pixels).transpose(0, 1)

    def by_unfold(signal: Tensor) -> Tensor:
        columns = functional.unfold(signal, 3, padding=1)
        return product(columns.transpose(0, 1).reshape(channels * 9, -1))

    def by_view(signal: Tensor) -> Tensor:
        windows = functional.pad(signal, (1, 1, 1, 1)).unfold(2, 3, 1).unfold(3, 3, 1)
        return product(windows.permute(1, 4, 5, 0, 2, 3).reshape(channels * 9, -1))

    ways = {
        "dense": layer,
        "nn.Unfold, MKL": by_unfold,
        "view, MKL": by_view,
        "view, embedding_bag": with_sparse(network, ["0"]).get_submodule("0"),
    }
    for way in ways.values():
        assert torch.allclose(way(images), layer(images), atol=1e-4)
    return {name: one.median for name, one in latencies(ways, images, threads=1).items()}


def main() -> None:
    """Print the table, as Markdown."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--share", type=float, default=0.05)
    parser.add_argument("--batch", type=int, default=1)
    options = parser.parse_args()
    for number, (channels, pixels) in enumerate(SHAPES):
        found = times(channels, pixels, options.share, options.batch)
        if not number:
            print(f"| channels | pixels | {' | '.join(found)} |")
            print("|---:|---:|" + "---:|" * len(found))
        cells = " | ".join(f"{one:.3f}" for one in found.values())
        print(f"| {channels} | {pixels}x{pixels} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
