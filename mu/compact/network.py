"""The smaller network: layers cut to the channels that stay, constants folded into biases."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx, nn

from mu.compact.constants import constants, foldable, folded, rows
from mu.compact.kinds import Kind, kinds
from mu.compact.needs import Needs, chosen, merged
from mu.compact.trace import traced
from mu.errors import UserError

TOLERANCE = 1e-5  # of logits in fp32, relative to the largest, where that is above one


@dataclass(frozen=True)
class Compaction:
    """A network without what is dead in it.

    Attributes
    ----------
    network
        In evaluation mode, on the CPU; of torch's own layers, and nothing of mu.
    channels
        Outputs of convolutions and linear layers: before and after.
    removed
        How many outputs were removed, by layer; layers that are gone as a whole are there, too.
    """

    network: fx.GraphModule
    channels: tuple[int, int]
    removed: dict[str, int]


@torch.no_grad()
def compact(model: nn.Module, images: Tensor, name: str = "") -> Compaction:
    """A network with the same logits as ``model`` in evaluation mode, without what is dead in it.

    ``images``: two or more, as the network takes them. ``name``: of the architecture, for messages.
    UserError if it cannot be traced, or if the logits of these images differ after all.
    """
    network = traced(model, images, name or type(model).__name__)
    found = kinds(network)
    known = constants(network, found)
    kept = Needs(found, known).kept
    layers = {n: one for n, one in found.items() if one.name in ("conv", "depthwise", "linear")}
    removed = {str(n.target): one.width - int(kept[n].sum()) for n, one in layers.items()}
    total = sum(one.width for one in layers.values())
    for node, kind in found.items():
        if kind.width and kept[node].any():
            _cut(network, node, kind, kept, known)
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()
    check_same(model, network, images, name)
    return Compaction(
        network,
        (total, total - sum(removed.values())),
        {layer: count for layer, count in removed.items() if count},
    )


def check_same(model: nn.Module, other: Any, images: Tensor, name: str) -> None:
    """UserError if a network and what was made of it differ in their logits by more than rounding.

    That cannot be, unless the network does what the rules do not see.
    """
    model = copy.deepcopy(model).cpu().eval()
    with torch.no_grad():
        wanted, found = model(images), other(images)
    difference = float((wanted - found).abs().max())
    if not difference <= TOLERANCE * max(1.0, float(wanted.abs().max())):
        raise UserError(
            f"arch {name}: the compact network's logits differ by {difference:.1e}, so it is not "
            "used; give compact=false"
        )


def _cut(
    network: fx.GraphModule,
    node: fx.Node,
    kind: Kind,
    kept: dict[fx.Node, Tensor],
    known: dict[fx.Node, Tensor],
) -> None:
    if kind.name in ("conv", "depthwise", "linear"):
        given = kind.inputs[0]
        everything = torch.ones(rows(kind.module).shape[1], dtype=torch.bool)
        constant = known.get(given, torch.full(everything.shape, torch.nan).double())
        inputs = kept.get(given, everything)
        network.set_submodule(str(node.target), _layer(kind, constant, kept[node], inputs))
    elif kind.name == "norm":
        network.set_submodule(str(node.target), _norm(kind.module, kept[node]))
    elif kind.name == "activation" and getattr(kind.module, "inplace", False):
        kind.module.inplace = False  # where a sum is left out, it would change another value
    elif kind.name == "cat":
        now = zip(node.all_input_nodes, kind.inputs, strict=True)  # sums have been replaced
        node.args = ([one for one, then in now if kept[then].any()], *node.args[1:])
    elif kind.name == "sum":
        _cut_sum(network, node, kind, kept, known)


def _layer(kind: Kind, constant: Tensor, kept: Tensor, inputs: Tensor) -> nn.Module:
    """A convolution or linear layer with these outputs and inputs."""
    old = kind.module
    bias, weight = folded(kind, constant), rows(old).clone()
    in_bias = foldable(kind, constant)  # they may stay, if others need them
    if kind.name == "depthwise":
        weight[in_bias] = 0
        weight = weight[kept]
    else:
        weight[:, in_bias] = 0
        if (among := merged(kind, constant)).any():
            one = chosen(constant, among)
            sums = (weight[:, among] * constant[among].view(1, -1, 1)).sum(1) / constant[one]
            weight[:, among] = 0
            weight[:, one] = sums
        weight = weight[kept][:, inputs]
    bias = bias[kept]
    has_bias = old.bias is not None or bool(bias.any())
    outputs = len(weight)
    if isinstance(old, nn.Linear):
        new: nn.Module = nn.Linear(weight.shape[1], outputs, bias=has_bias)
    else:
        names = ("kernel_size", "stride", "padding", "dilation", "padding_mode")
        settings: dict[str, Any] = {name: getattr(old, name) for name in names}
        depthwise = kind.name == "depthwise"
        taken = outputs if depthwise else weight.shape[1]
        groups = outputs if depthwise else 1
        new = nn.Conv2d(taken, outputs, groups=groups, bias=has_bias, **settings)
    _fill(new.get_parameter("weight"), weight)
    if has_bias:
        _fill(new.get_parameter("bias"), bias)
    return new.eval().requires_grad_(False)


def _norm(old: Any, kept: Tensor) -> nn.Module:
    """A normalisation of these channels."""
    kind = nn.BatchNorm1d if isinstance(old, nn.BatchNorm1d) else nn.BatchNorm2d
    new = kind(int(kept.sum()), eps=old.eps, momentum=old.momentum)
    for name in ("weight", "bias", "running_mean", "running_var"):
        if (value := getattr(old, name)) is not None:
            _fill(getattr(new, name), value.detach()[kept])
        else:
            new.register_parameter(name, None)
    return new.eval().requires_grad_(False)


def _fill(place: Tensor, values: Tensor) -> None:
    place.detach().copy_(values.reshape(place.shape))


def _cut_sum(
    network: fx.GraphModule,
    node: fx.Node,
    kind: Kind,
    kept: dict[fx.Node, Tensor],
    known: dict[fx.Node, Tensor],
) -> None:
    """Add the narrower branch where it belongs, and what is constant in what was removed."""
    held = kept[node]
    missing = [torch.where(kept[one], 0.0, known[one]) for one in kind.inputs]
    constant = (missing[0] + missing[1])[held]
    # What is given now, sums having been replaced, with what it holds; the wider branch first.
    branches = zip(node.all_input_nodes, (kept[one] for one in kind.inputs), strict=True)
    (wide, _), (narrow, own) = sorted(branches, key=lambda one: -int(one[1].sum()))
    shape = [-1 if dim == kind.dim else 1 for dim in range(kind.dim + 1)]
    shape += [1] * (len(node.meta["tensor_meta"].shape) - len(shape))
    graph = network.graph
    with graph.inserting_before(node):
        result = wide
        if own.any() and torch.equal(own, held):
            result = graph.call_function(torch.add, (wide, narrow))
        elif own.any():
            places = torch.nonzero(own[held]).flatten()
            index = _constant(network, f"{node.name}_places", places)
            narrow = graph.call_method("type_as", (narrow, wide))  # under autocast they may differ
            result = graph.call_function(torch.index_add, (wide, kind.dim, index, narrow))
        if constant.any():
            vector = _constant(network, f"{node.name}_constant", constant.float().view(shape))
            result = graph.call_function(torch.add, (result, vector))
    node.replace_all_uses_with(result)


def _constant(network: fx.GraphModule, name: str, value: Tensor) -> fx.Node:
    network.register_buffer(name, value)
    return network.graph.get_attr(name)
