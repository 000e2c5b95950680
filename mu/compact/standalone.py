"""Builds the network of model.json with the weights of model.safetensors.

Needs torch and safetensors alone (networks with windows of attention, as Swin: torchvision, too).
Nothing but the layers and functions that are named here is ever called. Two layers are its own:
those whose weights are stored and multiplied as sparse matrices (CSR).

    from load_model import load
    model = load("FOLDER")
    logits = model(images)
"""

from __future__ import annotations

import importlib
import json
import math
import operator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import fx, nn
from torch.nn import functional

_OF = {
    operator: "add mul sub truediv floordiv getitem neg",
    torch: "add mul relu sigmoid tanh flatten cat index_add permute transpose swapaxes chunk abs",
    functional: "adaptive_avg_pool2d adaptive_max_pool2d elu gelu hardsigmoid hardswish layer_norm "
    "leaky_relu max_pool2d mish relu6 silu softmax softplus",
}
FUNCTIONS: dict[str, Any] = {
    f"{module.__name__.lstrip('_')}.{name}": getattr(module, name)
    for module, names in _OF.items()
    for name in names.split()
} | {"torch.relu": torch.relu, "torch.nn.functional.relu": functional.relu}
SWIN = "torchvision.models.swin_transformer"
OF_SWIN = ("shifted_window_attention", "_patch_merging_pad", "_get_relative_position_bias")
METHODS = {
    *("flatten", "reshape", "view", "permute", "expand", "size", "contiguous", "chunk", "mean"),
    *("unsqueeze", "relu", "sigmoid", "tanh", "transpose", "bfloat16", "float", "type_as"),
}
ATTRIBUTES = {"shape", "ndim"}


class SparseLinear(nn.Module):
    """A linear layer that holds and multiplies ``nonzero`` weights alone, by rows (CSR).

    The product is that of torch's embedding bags, weighted sums of rows: they take plain tensors,
    so every file can hold them, and are about as fast as torch.sparse.
    """

    values: torch.Tensor
    columns: torch.Tensor
    starts: torch.Tensor
    bias: torch.Tensor | None

    def __init__(
        self, in_features: int, out_features: int, nonzero: int, bias: bool = True
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        self.nonzero = nonzero
        self.register_buffer("values", torch.zeros(nonzero))
        self.register_buffer("columns", torch.zeros(nonzero, dtype=torch.int32))
        self.register_buffer("starts", torch.zeros(out_features + 1, dtype=torch.int32))
        self.register_buffer("bias", torch.zeros(out_features) if bias else None)

    def product(self, columns: torch.Tensor) -> torch.Tensor:
        """The weights times (features, n), and the bias: (outputs, n)."""
        result = functional.embedding_bag(
            self.columns,
            columns,
            self.starts,
            mode="sum",
            per_sample_weights=self.values,
            include_last_offset=True,
        )
        return result if self.bias is None else result + self.bias.unsqueeze(1)

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """As nn.Linear."""
        columns = signal.to(self.values.dtype).flatten(0, -2).t().contiguous()
        return self.product(columns).t().reshape(*signal.shape[:-1], self.out_features)


class SparseConv2d(SparseLinear):
    """A convolution of the same kind, on unfolded images."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: tuple[int, int],
        nonzero: int,
        stride: tuple[int, int] = (1, 1),
        padding: tuple[int, int] = (0, 0),
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels * math.prod(kernel_size), out_channels, nonzero, bias)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, signal: torch.Tensor) -> torch.Tensor:
        """As nn.Conv2d; a view of the strided windows is copied, far faster than nn.Unfold."""
        signal = signal.to(self.values.dtype)
        if any(self.padding):
            y, x = self.padding
            signal = functional.pad(signal, (x, x, y, y))
        for dim in (0, 1):
            signal = signal.unfold(2 + dim, self.kernel_size[dim], self.stride[dim])
        count, _, height, width = signal.shape[:4]
        columns = signal.permute(1, 4, 5, 0, 2, 3).reshape(self.in_features, -1)
        result = self.product(columns).view(self.out_channels, count, height, width)
        return result.transpose(0, 1)


OWN = {"SparseLinear": SparseLinear, "SparseConv2d": SparseConv2d}


def load(folder: str | Path = ".") -> fx.GraphModule:
    """The network in a folder, in evaluation mode, on the CPU; ValueError if it is another thing.

    It takes float images of shape (n, channels, height, width), normalised as README.md says.
    """
    text = (Path(folder) / "model.json").read_text(encoding="utf-8")
    return build(json.loads(text), load_file(Path(folder) / "model.safetensors"))


def build(document: dict[str, Any], tensors: dict[str, torch.Tensor]) -> fx.GraphModule:
    """The network of a document with these weights."""
    root = nn.Module()
    for name, (kind, settings) in document["layers"].items():
        _put(root, name, _layer(kind, settings))
    graph = fx.Graph()
    made: dict[str, fx.Node] = {}
    for name, op, target, arguments, named in document["nodes"]:
        if op == "get_attr":
            _put(root, target, tensors[target])
        function = _function(target) if op == "call_function" else target
        args, kwargs = _values(arguments, made), _values(named, made)
        _check(op, target, args)
        made[name] = graph.create_node(op, function, tuple(args), kwargs, name)
    network = fx.GraphModule(root, graph, "Network")
    network.load_state_dict(tensors, assign=True)  # with their types, which may be bf16
    return network.eval().requires_grad_(False)


def _layer(kind: str, settings: dict[str, Any]) -> nn.Module:
    found = OWN.get(kind, getattr(nn, kind, None))
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ValueError(f"{kind!r} is no layer of torch.nn")
    absent = settings.get("absent", ())
    made = found(**{n: _tuples(value) for n, value in settings.items() if n != "absent"})
    for name in absent:  # a normalisation may have a shift and no scale
        made.register_parameter(name, None)
    return made


def _tuples(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _put(root: nn.Module, path: str, value: nn.Module | torch.Tensor) -> None:
    """Put a layer or a tensor at a dotted path."""
    *folders, last = path.split(".")
    for name in folders:
        if not isinstance(getattr(root, name, None), nn.Module):
            root.add_module(name, nn.Module())
        root = root.get_submodule(name)
    if isinstance(value, nn.Module):
        root.add_module(last, value)
    elif last not in dict(root.named_parameters(recurse=False)) | dict(root.named_buffers()):
        root.register_buffer(last, value.clone())


def _function(name: str) -> Any:
    module, _, last = name.rpartition(".")
    if module == SWIN and last in OF_SWIN:
        return getattr(importlib.import_module(SWIN), last)
    if name == "getattr":
        return getattr
    if name not in FUNCTIONS:
        raise ValueError(f"{name!r} is no function that a network may call")
    return FUNCTIONS[name]


def _check(op: str, target: str, args: list[Any]) -> None:
    if op not in (
        "placeholder",
        "call_module",
        "call_function",
        "call_method",
        "get_attr",
        "output",
    ):
        raise ValueError(f"{op!r} is nothing that a network does")
    if op == "call_method" and target not in METHODS:
        raise ValueError(f"{target!r} is no method that a network may call")
    if target == "getattr" and (len(args) != 2 or args[1] not in ATTRIBUTES):
        raise ValueError(f"{args[1:]} is nothing that a network may look at")


def _values(value: Any, made: dict[str, fx.Node]) -> Any:
    """Arguments as they were, with the nodes that are named."""
    if isinstance(value, list):
        return [_values(one, made) for one in value]
    if not isinstance(value, dict):
        return value
    if "node" in value:
        return made[value["node"]]
    if "tuple" in value:
        return tuple(_values(value["tuple"], made))
    if "slice" in value:
        return slice(*_values(value["slice"], made))
    return {name: _values(one, made) for name, one in value.items()}
