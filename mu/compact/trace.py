"""A network as a graph of torch's own layers and functions, without anything of its class."""

from __future__ import annotations

import copy
import operator
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torchvision.ops import StochasticDepth, stochastic_depth

from mu.errors import UserError

# In evaluation mode these give what they take.
NOTHING = (nn.Identity, nn.modules.dropout._DropoutNd, StochasticDepth)
IN_PLACE = {operator.iadd: operator.add, operator.imul: operator.mul}


class _Tracer(fx.Tracer):
    """Looks into every module but those whose forward pass is written in torch.nn."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """See the class; a subclass that inherits torch's forward pass is a leaf, too."""
        if isinstance(m, StochasticDepth):
            return True
        is_container = isinstance(m, (nn.Sequential, nn.ModuleList, nn.ModuleDict))
        return type(m).forward.__module__.startswith("torch.nn") and not is_container


def traced(model: nn.Module, images: Tensor, name: str) -> fx.GraphModule:
    """A copy of ``model`` in evaluation mode as a graph whose values know their shapes.

    ``images``: two, as it takes them. ``name``: of the architecture, for messages. UserError if it
    cannot be traced: what it does depends on the values that it sees, or is not torch's.
    """
    model = copy.deepcopy(model).cpu().eval().requires_grad_(False)
    try:
        graph = _Tracer().trace(model)
        found = fx.GraphModule(model, graph, "Network")
        _simplify(found)
        with torch.no_grad():
            ShapeProp(found).propagate(images)
    except Exception as error:  # of whatever the network does; each kind has one of its own
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"arch {name} cannot be traced by torch.fx ({why}); write its forward pass without "
            "conditions on values, or give compact=false with format=torch or format=onnx"
        ) from error
    return found


def _simplify(network: fx.GraphModule) -> None:
    """Leave out what does nothing in evaluation mode, and checks of shapes."""
    modules = dict(network.named_modules())
    for node in list(network.graph.nodes):
        if isinstance(modules.get(str(node.target)), NOTHING) or _drops_nothing(node):
            _leave_out(node)
        elif node.target is torch._assert:
            network.graph.erase_node(node)
        elif node.target in IN_PLACE and len(node.args[0].users) == 1:
            node.target = IN_PLACE[node.target]
    network.graph.eliminate_dead_code()
    network.delete_all_unused_submodules()
    network.recompile()


def _drops_nothing(node: fx.Node) -> bool:
    """Whether it calls stochastic_depth, and as in evaluation mode."""
    training: Any = node.kwargs.get("training", node.args[3] if len(node.args) > 3 else True)
    return node.target is stochastic_depth and not training


def _leave_out(node: fx.Node) -> None:
    (given, *_) = node.all_input_nodes
    node.replace_all_uses_with(given)
    node.graph.erase_node(node)


def shape_of(node: fx.Node) -> tuple[int, ...] | None:
    """The shape of a node's value; None if that is no single tensor."""
    meta = node.meta.get("tensor_meta")
    shape = getattr(meta, "shape", None)  # of several tensors there is a list
    return None if shape is None else tuple(shape)
