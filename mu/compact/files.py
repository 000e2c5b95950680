"""The network as files that others load: torch.export, safetensors with a description, ONNX."""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, fx, nn

from mu.compact import OPSET, standalone
from mu.compact.portable import described
from mu.compact.precision import quantise
from mu.compact.sparse import kinds_of
from mu.errors import UserError

PACKAGES = ("onnx", "onnxruntime", "onnxscript")
LAYERS_FILE = "layers.json"  # inside model.pt2: which layers are sparse
Answers = Callable[[Tensor], Tensor]


def save(
    network: nn.Module,
    images: Tensor,
    folder: Path,
    format: str,
    opset: int = OPSET,
    calibration: Tensor | None = None,
) -> tuple[Path, Answers]:
    """Write a network into a folder; gives the file of its weights, and what that file answers.

    The file is read again for that, as others will. ``images``: two, as the network takes them.
    ``calibration``: images by which an ONNX file is quantised to int8, if it is to be.
    UserError if the network does not go into that format, or a package is missing.
    """
    with _quiet():
        if format == "onnx":
            return _onnx(network, images, folder, opset, calibration)
        write = {"torch": _torch, "safetensors": _safetensors}[format]
        return write(network, images, folder)


def check_packages(format: str) -> None:
    """UserError if a package is missing that a format needs."""
    for name in PACKAGES if format == "onnx" else ():
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise UserError(
                f"format={format} needs the package {name} ({error}); install mu with its extra "
                "export: pip install '.[export]'"
            ) from error


def _torch(network: nn.Module, images: Tensor, folder: Path) -> tuple[Path, Answers]:
    path = folder / "model.pt2"
    kinds = json.dumps(kinds_of(network))
    torch.export.save(_exported(network, images), path, extra_files={LAYERS_FILE: kinds})
    return path, torch.export.load(path).module()


def _exported(network: nn.Module, images: Tensor) -> torch.export.ExportedProgram:
    """The program, for any number of images; UserError if torch.export cannot trace it."""
    count = ({0: torch.export.Dim.DYNAMIC},)
    try:
        with torch.no_grad():
            return torch.export.export(network, (images,), dynamic_shapes=count)
    except Exception as error:  # each network fails in a way of its own
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"the network cannot be traced by torch.export ({why}); write its forward pass without "
            "conditions on values"
        ) from error


def _safetensors(network: nn.Module, _: Tensor, folder: Path) -> tuple[Path, Answers]:
    assert isinstance(network, fx.GraphModule)
    document, tensors = described(network)
    path = folder / "model.safetensors"
    save_file(tensors, path)
    (folder / "model.json").write_text(json.dumps(document) + "\n", encoding="utf-8")
    reader = Path(str(standalone.__file__)).read_text(encoding="utf-8")
    (folder / "load_model.py").write_text(reader, encoding="utf-8")
    return path, standalone.load(folder)


def _onnx(
    network: nn.Module, images: Tensor, folder: Path, opset: int, calibration: Tensor | None
) -> tuple[Path, Answers]:
    path = folder / "model.onnx"
    onnx, runtime = (importlib.import_module(name) for name in PACKAGES[:2])
    program = _exported(network, images)
    names: dict[str, Any] = {"input_names": ["images"], "output_names": ["logits"]}
    try:
        torch.onnx.export(
            program, f=path, opset_version=opset, external_data=False, dynamo=True, **names
        )
        if calibration is not None:
            quantise(path, calibration)
        onnx.checker.check_model(str(path), full_check=True)
        found = onnx.load(str(path), load_external_data=False)
        options = runtime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except UserError:
        raise
    except Exception as error:  # of three packages, with classes of their own
        why = " ".join(str(error).split())[:160]
        raise UserError(
            f"opset={opset}: this network does not go into ONNX so ({why}); give another opset or "
            "format=torch"
        ) from error
    written = next(one.version for one in found.opset_import if not one.domain)
    if written != opset:
        raise UserError(f"opset={opset}: torch writes {written} instead; give opset={written}")
    return path, lambda batch: torch.from_numpy(session.run(None, {"images": batch.numpy()})[0])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without the exporter's steps, and its advice to whoever wrote the network."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
