"""What a node of the graph does to channels: the few kinds that the rules of compaction know.

Everything else is ``opaque``: it reads all that it is given, and all that it gives is needed.
"""

from __future__ import annotations

import operator
from collections import Counter
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.nn import functional

from mu.compact.trace import shape_of

ACTIVATIONS = (
    *(nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.SELU, nn.CELU, nn.GELU, nn.SiLU, nn.Mish),
    *(nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus),
)
FUNCTIONS = {
    *(torch.relu, torch.sigmoid, torch.tanh, functional.relu, functional.relu6, functional.gelu),
    *(functional.silu, functional.hardswish, functional.hardsigmoid, functional.leaky_relu),
    *(functional.elu, functional.mish, functional.softplus, torch.neg, torch.abs),
}
METHODS = {"relu", "sigmoid", "tanh"}
ARITHMETIC = {operator.add, operator.mul, operator.sub, operator.truediv, torch.add, torch.mul}
SUMS = {operator.add, torch.add}
PRODUCTS = {operator.mul, torch.mul}
# Of a constant map they make the same one: the padding of a maximum is never the largest.
EVEN_POOLS = (nn.MaxPool2d, nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
EVEN_POOL_FUNCTIONS = {
    *(functional.max_pool2d, torch.max_pool2d, functional.adaptive_avg_pool2d),
    functional.adaptive_max_pool2d,
}
NORMS = (nn.BatchNorm2d, nn.BatchNorm1d)


@dataclass(frozen=True)
class Kind:
    """What a node is, and the nodes whose channels it takes.

    Attributes
    ----------
    name
        ``conv``, ``depthwise``, ``linear``, ``norm``, ``activation``, ``pool``, ``even_pool``,
        ``sum``, ``product``, ``flatten``, ``cat``, ``size`` (looks at the number of images alone),
        or ``opaque``.
    dim
        Of the channels in what it gives.
    width
        How many channels it gives.
    """

    name: str
    inputs: tuple[fx.Node, ...] = ()
    dim: int = 0
    width: int = 0
    module: Any = None


def kinds(network: fx.GraphModule) -> dict[fx.Node, Kind]:
    """The kind of every node."""
    modules = dict(network.named_modules())
    own = _used_once(network)
    found: dict[fx.Node, Kind] = {}
    for node in network.graph.nodes:
        module = modules.get(node.target) if node.op == "call_module" else None
        if node.op == "call_module" and node.target not in own:
            found[node] = Kind("opaque", module=module)
        else:
            found[node] = _kind(node, module, found)
    for node in network.graph.nodes:  # what is changed in place is not what others were given
        if _is_in_place(node, found[node].module) and len(node.args[0].users) > 1:
            found[node.args[0]] = found[node] = Kind("opaque", module=found[node].module)
    return found


def _used_once(network: fx.GraphModule) -> set[str]:
    """Modules without hooks that, if they have weights, are called once and share none."""
    calls = Counter(node.target for node in network.graph.nodes if node.op == "call_module")
    taken = {
        node.target.rpartition(".")[0] for node in network.graph.nodes if node.op == "get_attr"
    }
    holders: Counter[int] = Counter(
        id(one) for _, one in network.named_parameters(remove_duplicate=False)
    )
    return {
        name
        for name, module in network.named_modules()
        if (calls[name] == 1 or not module.state_dict())
        and name not in taken
        and not (module._forward_hooks or module._forward_pre_hooks)
        and all(holders[id(one)] == 1 for one in module.parameters())
    }


def _is_in_place(node: fx.Node, module: Any) -> bool:
    if node.op == "call_method":
        return str(node.target).endswith("_")
    inplace = node.kwargs.get("inplace", getattr(module, "inplace", False))
    return bool(inplace) or node.target in (operator.iadd, operator.imul)


def _kind(node: fx.Node, module: Any, known: dict[fx.Node, Kind]) -> Kind:
    shape, opaque = shape_of(node), Kind("opaque", module=module)
    taken = [one for one in node.args if isinstance(one, fx.Node)]
    if _asks_for_count(node):
        return Kind("size")
    if shape is None or not (taken or node.target is torch.cat) or node.kwargs.get("out"):
        return opaque
    if module is not None:
        return _of_layer(node, module, shape, known) or opaque
    if node.target is torch.cat:
        return _of_cat(node, shape, known) or opaque
    if len(taken) == 2 and node.target in SUMS | PRODUCTS and len(node.args) == 2:
        return _of_two(node, taken, shape, known) or opaque
    first = known[taken[0]]
    if _flattens(node, None, shape, first):
        return Kind("flatten", (taken[0],), 1, shape[1])
    if len(taken) == 1 and _is_elementwise(node) and first.width:
        return Kind("activation", (taken[0],), first.dim, first.width)
    if node.target in EVEN_POOL_FUNCTIONS and first.width and first.dim == 1:
        return Kind("even_pool", (taken[0],), 1, first.width)
    return opaque


def _of_layer(
    node: fx.Node, module: nn.Module, shape: tuple[int, ...], known: dict[fx.Node, Kind]
) -> Kind | None:
    if len(node.args) != 1 or node.kwargs:
        return None
    (given,) = node.args
    assert isinstance(given, fx.Node)
    first = known[given]
    if isinstance(module, nn.Linear):
        return Kind("linear", (given,), len(shape) - 1, module.out_features, module)
    if isinstance(module, nn.Conv2d) and len(shape) == 4:
        depthwise = 1 < module.groups == module.in_channels == module.out_channels
        if module.groups == 1 or (depthwise and first.width):
            name = "depthwise" if depthwise else "conv"
            return Kind(name, (given,), 1, module.out_channels, module)
    if _flattens(node, module, shape, first):
        return Kind("flatten", (given,), 1, shape[1])
    kind = _channelwise(module)
    if kind is None or not first.width or (kind != "activation" and first.dim != 1):
        return None
    return Kind(kind, (given,), first.dim, first.width, module)


def _channelwise(module: nn.Module) -> str | None:
    if isinstance(module, ACTIVATIONS):
        return "activation"
    if isinstance(module, NORMS):
        return None if module.running_mean is None else "norm"
    if isinstance(module, EVEN_POOLS):
        return None if getattr(module, "return_indices", False) else "even_pool"
    return "pool" if isinstance(module, nn.AvgPool2d) else None


def _of_two(
    node: fx.Node, taken: list[fx.Node], shape: tuple[int, ...], known: dict[fx.Node, Kind]
) -> Kind | None:
    """A sum of equal shapes, or a product in which one factor may be a number for each channel."""
    one, other = (known[each] for each in taken)
    same = (one.dim, one.width) == (other.dim, other.width)
    if not one.width or not same or taken[0] is taken[1]:
        return None
    shapes = [shape_of(each) for each in taken]
    if node.target in SUMS:
        is_plain = shapes == [shape, shape] and not node.kwargs
        return Kind("sum", tuple(taken), one.dim, one.width) if is_plain else None
    if any(each is None or len(each) != len(shape) for each in shapes):
        return None
    return Kind("product", tuple(taken), one.dim, one.width)


def _of_cat(node: fx.Node, shape: tuple[int, ...], known: dict[fx.Node, Kind]) -> Kind | None:
    parts = node.args[0]
    dim = node.kwargs.get("dim", node.args[1] if len(node.args) > 1 else 0)
    if not isinstance(parts, (list, tuple)) or len({*parts}) != len(parts) or dim != 1:
        return None
    nodes = [one for one in parts if isinstance(one, fx.Node)]
    if len(nodes) != len(parts) or not all(
        known[one].width and known[one].dim == 1 for one in nodes
    ):
        return None
    return Kind("cat", tuple(nodes), 1, shape[1])


def _is_elementwise(node: fx.Node) -> bool:
    if node.op == "call_method":
        return node.target in METHODS
    if node.target in ARITHMETIC:
        numbers = [one for one in node.args if not isinstance(one, fx.Node)]
        return len(node.args) == 2 and all(isinstance(one, (int, float)) for one in numbers)
    return node.target in FUNCTIONS


def _flattens(node: fx.Node, module: Any, shape: tuple[int, ...], first: Kind) -> bool:
    """Whether it makes (n, features) of (n, channels, height, width), or of features."""
    if len(shape) != 2 or first.dim != 1 or not first.width:
        return False
    if module is not None:
        return isinstance(module, nn.Flatten) and (module.start_dim, module.end_dim) == (1, -1)
    if node.target is torch.flatten or node.target == "flatten":
        return [*node.args[1:], *node.kwargs.values()] in ([1], [1, -1])
    # Of the images there are as many as before, so -1 stands for all else.
    return node.target in ("view", "reshape") and node.args[2:] == (-1,)


def _asks_for_count(node: fx.Node) -> bool:
    """``x.size(0)``, ``x.shape`` of which only ``[0]`` is taken, and that."""
    if node.op == "call_method" and node.target == "size":
        return node.args[1:] == (0,) and not node.kwargs
    if node.target is getattr and node.args[1:] == ("shape",):
        return all(one.target is operator.getitem and one.args[1:] == (0,) for one in node.users)
    is_item = node.target is operator.getitem and node.args[1:] == (0,)
    return is_item and getattr(node.args[0], "target", None) is getattr
