"""A traced network as a document in plain values, which :mod:`mu.compact.standalone` reads."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor, fx, nn

from mu.compact.standalone import ATTRIBUTES, FUNCTIONS, METHODS, OF_SWIN, OWN, SWIN
from mu.errors import UserError
from mu.tensors import plain

FORMAT = "mu.network/1"
_NAMES = {function: name for name, function in FUNCTIONS.items()}


def described(network: fx.GraphModule) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The document and the tensors of a network; UserError if it calls what no reader knows."""
    nodes = [
        [node.name, node.op, _target(node), _plain(list(node.args)), _plain(dict(node.kwargs))]
        for node in network.graph.nodes
    ]
    layers = {
        str(node.target): _layer(network.get_submodule(str(node.target)))
        for node in network.graph.nodes
        if node.op == "call_module"
    }
    named = [str(node.target) for node in network.graph.nodes if node.op == "get_attr"]
    parts = dict(network.named_parameters()) | dict(network.named_buffers())
    tensors = plain(network.state_dict() | {name: parts[name] for name in named})
    return {"format": FORMAT, "layers": layers, "nodes": nodes}, tensors


def _refused(what: str) -> UserError:
    return UserError(f"format=safetensors cannot describe {what}; give format=torch or format=onnx")


def _target(node: fx.Node) -> str:
    """The name of what a node calls, where a reader may call it."""
    if node.op == "call_method" and node.target not in METHODS:
        raise _refused(f"the method {node.target}")
    if node.op != "call_function":
        return str(node.target)
    assert callable(node.target)
    name = getattr(node.target, "__name__", str(node.target))
    if node.target is getattr and node.args[1] in ATTRIBUTES:
        return "getattr"
    if getattr(node.target, "__module__", "") == SWIN and name in OF_SWIN:
        return f"{SWIN}.{name}"
    if node.target not in _NAMES:
        raise _refused(f"the function {name}")
    return _NAMES[node.target]


def _layer(module: nn.Module) -> tuple[str, dict[str, Any]]:
    """The class of a layer of torch.nn, and what it has to be built with to be this one."""
    kind = next(
        one
        for one in type(module).mro()
        if one.__module__.startswith("torch.nn") or OWN.get(one.__name__) is one
    )
    if {**vars(nn), **OWN}.get(kind.__name__) is not kind:
        raise _refused(f"a layer of the class {type(module).__name__}")
    settings = {}
    for name, parameter in inspect.signature(kind).parameters.items():
        if name in ("device", "dtype") or not hasattr(module, name):
            continue
        value = getattr(module, name)
        if name == "bias":
            value = value is not None
        if value != parameter.default and name != "inplace":
            settings[name] = list(value) if isinstance(value, tuple) else value
    if absent := [name for name, one in module._parameters.items() if one is None]:
        settings["absent"] = [name for name in absent if name != "bias" or "bias" not in settings]
    return kind.__name__, settings


def _plain(value: Any) -> Any:
    """Arguments in plain values: ``{"node": name}``, ``{"tuple": [...]}``, ``{"slice": [...]}``."""
    if isinstance(value, fx.Node):
        return {"node": value.name}
    if isinstance(value, tuple):
        return {"tuple": [_plain(one) for one in value]}
    if isinstance(value, slice):
        return {"slice": [_plain(one) for one in (value.start, value.stop, value.step)]}
    if isinstance(value, list):
        return [_plain(one) for one in value]
    if isinstance(value, dict):
        return {name: _plain(one) for name, one in value.items()}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise _refused(f"the argument {value!r}")
