"""A checkpoint as a model of MLflow: `mlflow models serve` answers with it, the registry keeps it.

An MLmodel file beside weights and spec is all there is to it: nothing is stored twice, and nothing
is pickled. Loading it by :mod:`mu.tracking.serving` runs mu's own code and no other; where the
architecture is a function of a package, it is called only if ``MU_TRUST`` names it. MLflow imports
whatever module an MLmodel file names as its loader: of a folder from elsewhere, read that file.
"""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mlflow.models import Model, ModelSignature
from mlflow.types import Schema, TensorSpec
from numpy.typing import NDArray
from torch import nn

from mu.checkpoints import Checkpoint, Spec, load_network
from mu.compact.network import compact
from mu.errors import UserError
from mu.file_names import CHECKPOINT_FOLDER
from mu.tracking.recorder import Recorder

BATCH_SIZE = 256
# What a place that serves it has to have, beside mu itself.
REQUIRED = ("mlflow", "numpy", "safetensors", "torch", "torchvision")


def save_checkpoint(recorder: Recorder, checkpoint: Checkpoint) -> dict[str, str]:
    """:meth:`mu.checkpoints.Checkpoint.save` among what a run keeps, so that it can be served."""
    digests = checkpoint.save(recorder.folder)
    describe_model(recorder.folder, checkpoint.spec)
    return digests


def describe_model(folder: Path, spec: Spec) -> None:
    """Write what makes ``checkpoint/`` below ``folder`` a model of MLflow."""
    place = folder / CHECKPOINT_FOLDER
    requirements = place / "requirements.txt"
    lines = [f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED]
    requirements.write_text("\n".join(["# beside mu itself", *lines, ""]))
    model, side = spec.recipe.model, spec.recipe.model.image_size
    images = TensorSpec(np.dtype(np.uint8), (-1, side, side, model.in_channels))
    probabilities = TensorSpec(np.dtype(np.float32), (-1, model.num_classes))
    signature = ModelSignature(inputs=Schema([images]), outputs=Schema([probabilities]))
    served = Model(signature=signature, metadata=metadata_of(spec))
    served.add_flavor("python_function", loader_module=__name__)
    served.save(str(place / "MLmodel"))


def metadata_of(spec: Spec) -> dict[str, Any]:
    """What someone who finds the model should know."""
    arch = spec.recipe.model.arch
    own_code = ":" in arch and not arch.startswith("torchvision:")
    return {
        "arch": str(arch),
        "classes": list(spec.data.classes),
        "history": list(spec.history),
        "samples_forgotten": len(spec.removed),
        "runs_code_of": str(arch) if own_code else "mu alone",
    }


class ServedModel:
    """Answers with probabilities."""

    def __init__(self, folder: Path) -> None:
        network, self._spec = load_network(folder)
        self._model = _without_dead(network, self._spec)
        data = self._spec.data
        shape = (1, len(data.mean), 1, 1)
        self._mean = torch.tensor(data.mean).mul(255).view(shape)
        self._std = torch.tensor(data.std).mul(255).view(shape)

    @torch.no_grad()
    def predict(
        self,
        images: NDArray[np.uint8],
        params: dict[str, Any] | None = None,  # noqa: ARG002
    ) -> NDArray[np.float32]:
        """Probabilities (n, classes), 0-1, of images (n, height, width, channels), 0-255.

        UserError if the images are of another shape.
        """
        model = self._spec.recipe.model
        wanted = (model.image_size, model.image_size, model.in_channels)
        if images.ndim != 4 or images.shape[1:] != wanted:
            raise UserError(
                f"images of shape {images.shape}: give (n, height, width, channels) with "
                f"{' x '.join(map(str, wanted))}"
            )
        pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2)
        found = [
            self._model(part.float().sub_(self._mean).div_(self._std)).float().softmax(1)
            for part in torch.split(pixels, BATCH_SIZE)
        ]
        return torch.cat(found).numpy()


def _without_dead(network: nn.Module, spec: Spec) -> nn.Module:
    """The network without what its mask has killed: it answers the same, sooner.

    As it is where nothing can be removed, or where it cannot be traced, as code of others may not.
    """
    model = spec.recipe.model
    try:
        found = compact(network, model.example(), model.arch)
    except UserError:
        return network
    return found.network if found.removed else network


def _load_pyfunc(path: str) -> ServedModel:
    """What MLflow calls with the folder of the MLmodel file."""
    return ServedModel(Path(path))
