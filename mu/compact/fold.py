"""Batch normalisation folded into the layer before it: exact to rounding, and a pass less."""

from __future__ import annotations

import copy
from collections import Counter
from typing import Any

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

FOLDS: dict[Any, tuple[Any, Any]] = {
    nn.BatchNorm2d: (nn.Conv2d, fuse_conv_bn_eval),
    nn.BatchNorm1d: (nn.Linear, fuse_linear_bn_eval),
}


def folded(network: fx.GraphModule) -> fx.GraphModule:
    """A copy of a traced network in evaluation mode, its normalisations folded where they can be.

    That is where they have running statistics, and nothing else reads what the layer before gives.
    """
    network = copy.deepcopy(network)
    modules = dict(network.named_modules())
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    for node in list(network.graph.nodes):
        norm: Any = modules.get(str(node.target)) if node.op == "call_module" else None
        if type(norm) not in FOLDS or norm.running_mean is None:
            continue
        kind, fuse = FOLDS[type(norm)]
        given = node.args[0]
        layer = modules.get(str(given.target)) if given.op == "call_module" else None
        if type(layer) is kind and len(given.users) == 1 == calls[given.target]:
            network.set_submodule(str(given.target), fuse(layer, norm).requires_grad_(False))
            node.replace_all_uses_with(given)
            network.graph.erase_node(node)
    network.delete_all_unused_submodules()
    network.recompile()
    return network
