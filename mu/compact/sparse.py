"""Layers that stay sparse: which of them are faster so, by timing on this machine.

A layer is ``dense`` or ``csr``, which holds and multiplies the weights that are left alone
(:class:`mu.compact.standalone.SparseConv2d`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence

import torch
from torch import Tensor, fx, nn

from mu.compact.latency import Latency, layer_latencies
from mu.compact.standalone import SparseConv2d, SparseLinear

LAYERS = (nn.Conv2d, nn.Linear)
DENSE, CSR = "dense", "csr"
MARGIN = 0.9  # of the dense layer's time: what saves less may be noise
Timer = Callable[
    [Mapping[str, nn.Module], Sequence[str], Tensor, int], dict[str, dict[str, Latency]]
]


def choose(
    network: fx.GraphModule, images: Tensor, threads: int, timer: Timer = layer_latencies
) -> list[str]:
    """The layers that are faster if they are sparse, for as many images as are given.

    Both kinds are timed within passes of the whole network, which is dense and sparse in turn.
    """
    able = [name for name in _called(network) if can_be_sparse(network.get_submodule(name))]
    if not able:
        return []
    networks = {DENSE: network, CSR: with_sparse(network, able)}
    found = timer(networks, able, images, threads)
    return [one for one in able if is_faster(found[CSR][one], found[DENSE][one])]


def is_faster(sparse: Latency, dense: Latency) -> bool:
    """Whether it is so beyond noise: a layer, or a network as a whole."""
    return sparse.median < MARGIN * dense.median


def with_sparse(network: fx.GraphModule, layers: Iterable[str]) -> fx.GraphModule:
    """A copy of a network in which these layers are sparse."""
    network = copy.deepcopy(network)
    for name in layers:
        network.set_submodule(name, _sparse(network.get_submodule(name)))
    return network


def kinds_of(network: nn.Module) -> dict[str, str]:
    """The kind of each convolution and linear layer."""
    return {
        name: CSR if isinstance(one, SparseLinear) else DENSE
        for name, one in network.named_modules()
        if isinstance(one, (*LAYERS, SparseLinear))
    }


def _called(network: fx.GraphModule) -> list[str]:
    """The layers that the graph calls, and of which it takes nothing else, as their weight."""
    nodes = network.graph.nodes
    taken = {str(one.target).rpartition(".")[0] for one in nodes if one.op == "get_attr"}
    called = dict.fromkeys(str(one.target) for one in nodes if one.op == "call_module")
    return [name for name in called if name not in taken]


def can_be_sparse(layer: nn.Module) -> bool:
    """Whether there are zeros to leave out, and the sparse layer can do what this one does."""
    if not isinstance(layer, LAYERS):
        return False
    weight = layer.weight
    if not 0 < int(weight.count_nonzero()) < weight.numel():
        return False
    if isinstance(layer, nn.Linear):
        return True
    is_padded_plainly = layer.padding_mode == "zeros" and not isinstance(layer.padding, str)
    return is_padded_plainly and layer.groups == 1 and set(layer.dilation) == {1}


@torch.no_grad()
def _sparse(layer: nn.Module) -> SparseLinear:
    rows = layer.get_parameter("weight").detach().flatten(1)
    nonzero, has_bias = int(rows.count_nonzero()), layer.bias is not None
    if isinstance(layer, nn.Conv2d):
        new: SparseLinear = SparseConv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,  # type: ignore[arg-type]  # two numbers each
            nonzero,
            layer.stride,  # type: ignore[arg-type]
            layer.padding,  # type: ignore[arg-type]
            has_bias,
        )
    else:
        new = SparseLinear(rows.shape[1], len(rows), nonzero, has_bias)
    places = rows.nonzero()  # by rows
    new.values.copy_(rows[rows != 0])
    new.columns.copy_(places[:, 1])
    new.starts[1:] = torch.bincount(places[:, 0], minlength=len(rows)).cumsum(0)
    if new.bias is not None:
        new.bias.copy_(layer.get_parameter("bias").detach())
    return new.eval()
