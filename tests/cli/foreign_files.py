"""Files as other programs write them: the layout of the paper's repository, and plainer ones."""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import prune

from mu.models import ModelSpec

# float32 has none of these exactly, so that a roundabout way through text would show.
MEAN, STD = (0.4914,), (0.247,)


class Normalize(nn.Module):
    """A layer that normalises by channel."""

    mean: Tensor
    std: Tensor

    def __init__(self, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(mean))
        self.register_buffer("std", torch.tensor(std))

    def forward(self, images: Tensor) -> Tensor:
        return (images - self.mean[:, None, None]) / self.std[:, None, None]


def network(arch: str = "resnet_mini", *, stem: str = "cifar", **sizes: int) -> nn.Module:
    """A network for the digits, with batch statistics that are not those of a fresh one."""
    spec = ModelSpec(arch, sizes.get("classes", 10), sizes.get("channels", 1), stem, 8)
    return with_statistics(spec.build(seed=7), spec.in_channels)


def with_statistics(model: nn.Module, channels: int) -> nn.Module:
    """The network with the statistics of some random images, so that a signal gets through."""
    for one in model.modules():
        if isinstance(one, nn.BatchNorm2d):
            one.momentum = 1.0
    images = torch.rand(32, channels, 8, 8, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        model.train()(images)
    return model.eval()


def put_under_pruning(model: nn.Module, share: float = 0.9) -> nn.Module:
    """Prune convolutions globally by magnitude, as ``torch.nn.utils.prune`` does."""
    layers = [one for one in model.modules() if isinstance(one, nn.Conv2d)]
    pairs = [(one, "weight") for one in layers]
    prune.global_unstructured(pairs, pruning_method=prune.L1Unstructured, amount=share)
    return with_statistics(model, layers[0].in_channels)


def paper_network(arch: str = "resnet_mini", *, share: float = 0.9) -> nn.Module:
    """A sparse network whose normalisation is its first layer."""
    model = put_under_pruning(network(arch), share)
    model.normalize = Normalize(MEAN, STD)
    model.register_forward_pre_hook(lambda _module, given: (model.normalize(given[0]),))
    return model


def paper_checkpoint(model: nn.Module) -> dict[str, Any]:
    """Everything that the paper's repository saves after an epoch."""
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, milestones=[91, 136], gamma=0.1)
    saved = deepcopy(model.state_dict())  # before a step, which only fills the optimiser
    sum(one.sum() for one in model.parameters()).backward()  # type: ignore[union-attr]
    optimizer.step()
    model.load_state_dict(saved)
    return {
        "state": 1,
        "result": {"train_ta": [11.5, 12.25], "val_ta": [10.0], "test_ta": []},
        "epoch": 182,
        "state_dict": saved,
        "best_sa": 93.5,
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "init_weight": deepcopy(saved),
    }


def prefixed(tensors: Mapping[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    """The same under the names of a wrapped network."""
    return {f"{prefix}{name}": tensor for name, tensor in tensors.items()}


def save(path: Path, content: Any) -> Path:
    """Write what torch or, by the ending, safetensors writes."""
    if path.suffix == ".safetensors":
        save_file({name: one.contiguous() for name, one in content.items()}, path)
    else:
        torch.save(content, path)
    return path


def dense_weights(model: nn.Module) -> dict[str, Tensor]:
    """The state dict of a network under pruning as it computes: masked, under plain names."""
    found = {name: one for name, one in model.state_dict().items() if "normalize" not in name}
    for name, kept in masks_of(model).items():
        found[name] = found.pop(f"{name}_orig") * kept
        del found[f"{name}_mask"]
    return found


def masks_of(model: nn.Module) -> dict[str, Tensor]:
    """The masks of a network under pruning, by parameter."""
    return {
        name.removesuffix("_mask"): one.bool()
        for name, one in model.named_buffers()
        if name.endswith("_mask")
    }
