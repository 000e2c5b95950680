"""Networks that compute in fewer bits: bf16 as a graph of torch, int8 as a file of ONNX Runtime.

int8 is not torch's: its quantised layers (torch.ao.quantization) do not go through torch.export,
their tensors are deprecated, and what replaces them is a package of its own (torchao). ONNX
Runtime's static quantisation comes with what the extra ``export`` installs anyway.
"""

from __future__ import annotations

import copy
import importlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, fx

from mu.errors import UserError

BATCH = 32  # images of a pass of calibration


def in_bf16(network: fx.GraphModule) -> fx.GraphModule:
    """A copy whose weights and passes are bf16, and which takes and gives float32."""
    network = copy.deepcopy(network).to(torch.bfloat16)
    graph = network.graph
    for node in list(graph.nodes):
        if node.op == "placeholder":
            with graph.inserting_after(node):
                cast = graph.call_method("bfloat16", (node,))
            node.replace_all_uses_with(cast, lambda user, own=cast: user is not own)
        elif node.op == "output":
            with graph.inserting_before(node):
                node.args = (graph.call_method("float", (node.args[0],)),)
    network.recompile()
    return network


def quantise(path: Path, images: Tensor) -> None:
    """Replace an ONNX file with one whose layers are int8, their ranges taken from ``images``.

    Weights have a scale for each output channel. UserError if ONNX Runtime cannot.
    """
    tool = importlib.import_module("onnxruntime.quantization")
    try:
        tool.quantize_static(
            str(path),
            str(path),
            _reader(tool, images),
            per_channel=True,
            # On processors with VNNI signed activations are slower than fp32.
            activation_type=tool.QuantType.QUInt8,
            weight_type=tool.QuantType.QInt8,
        )
    except Exception as error:  # with classes of its own, one for each step
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"precision=int8: ONNX Runtime cannot quantise this network ({why}); give "
            "precision=fp32"
        ) from error


def _reader(tool: Any, images: Tensor) -> Any:
    """The images as ONNX Runtime's calibration asks for them."""

    class Reader(tool.CalibrationDataReader):  # type: ignore[misc]  # a class of an optional package
        def __init__(self) -> None:
            self._batches: Iterator[Tensor] = iter(torch.split(images, BATCH))

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._batches, None)
            return None if batch is None else {"images": batch.numpy()}

    return Reader()
