"""What several tests share: small made-up data, models and files, and slow, obvious oracles."""

from __future__ import annotations

import io
import os
import tarfile
from collections.abc import Iterable, Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data.images import ImageDataset, Images
from mu.data.splits import SplitSpec
from mu.errors import UserError
from mu.masks import Mask
from mu.models import ModelSpec
from mu.recipes.recipe import Recipe
from mu.training import Training


def laws(examples: int = 40) -> settings:
    """Settings of property-based tests: the same examples each time, and no database.

    Half of them, unless MU_LAWS=full, which ``make test-all`` sets.
    """
    return settings(
        max_examples=examples if os.environ.get("MU_LAWS") == "full" else (examples + 1) // 2,
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )


def mostly_slow(values: Iterable[Any], *quick: Any) -> list[Any]:
    """Cases of a test: the ``quick`` ones always, the others in the slow set."""
    cases = list(values)
    assert set(quick) < set(cases)
    several = [one if isinstance(one, tuple) else (one,) for one in cases]  # parameters
    slow = [() if one in quick else pytest.mark.slow for one in cases]
    return [pytest.param(*one, marks=mark) for one, mark in zip(several, slow, strict=True)]


# --- errors -------------------------------------------------------------------------------


class Refusal:
    """``with refused("name"):`` expects a UserError of one line that contains all the texts."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts
        self.message = ""

    def __enter__(self) -> Refusal:
        return self

    def __exit__(self, kind: type | None, error: BaseException | None, _trace: object) -> bool:
        if error is None:
            pytest.fail(f"nothing was refused; expected a UserError with {self.texts}")
        if not isinstance(error, UserError):
            return False
        self.message = str(error)
        assert "\n" not in self.message
        for text in self.texts:
            assert text in self.message
        return True


def refused(*texts: str) -> Refusal:
    """Expect a :class:`UserError` whose one line contains each of ``texts``."""
    return Refusal(*texts)


# --- data ---------------------------------------------------------------------------------


def make_images(
    labels: Sequence[int], *, size: int = 8, channels: int = 1, seed: int = 0
) -> Images:
    """Random images with these labels; each class is brighter than the one before."""
    rng = np.random.default_rng(seed)
    values = np.asarray(labels, np.int64)
    noise = rng.integers(0, 100, (len(values), channels, size, size))
    bright = (values % 10 * 15)[:, None, None, None]
    return Images(torch.from_numpy((noise + bright).astype(np.uint8)), torch.from_numpy(values))


def make_dataset(
    labels: Sequence[int] | None = None,
    *,
    train: int = 60,
    test: int = 20,
    classes: int = 3,
    names: Sequence[str] | None = None,
    size: int = 8,
    channels: int = 1,
    seed: int = 0,
) -> ImageDataset:
    """A small data set; without ``labels``, the classes take turns."""
    chosen = [number % classes for number in range(train)] if labels is None else labels
    count = max(classes, *(label + 1 for label in chosen))
    return ImageDataset(
        "made_up",
        make_images(chosen, size=size, channels=channels, seed=seed),
        make_images(
            [number % len(names or range(count)) for number in range(test)],
            size=size,
            channels=channels,
            seed=seed + 1,
        ),
        tuple(names or (f"class_{label}" for label in range(count))),
        (0.25,) * channels,
        (0.2,) * channels,
    )


# --- models -------------------------------------------------------------------------------


def make_recipe(dataset: ImageDataset, *, arch: str = "resnet_mini", seed: int = 3) -> Recipe:
    """A short recipe for ``dataset``."""
    return Recipe(
        ModelSpec.for_images(arch, "auto", len(dataset.classes), dataset.shape),
        Training(epochs=2, batch_size=16, augment="none"),
        pruning={"rate": 0.5},
        split=SplitSpec(split_seed=1, val_share=0.1),
        seed=seed,
    )


def prunable(model: nn.Module, scope: str = "body") -> list[str]:
    """What of ``model`` can be pruned; its head is found by images of a size that it takes.

    Of a network that takes none of them, the linear layer that is defined last counts as the head.
    """
    from mu.models.head import NoHeadError, find_head
    from mu.pruning import base

    draws = torch.Generator().manual_seed(0)
    for channels, size in product((1, 3), (4, 8, 32)):
        try:
            head = find_head(model, torch.randn(2, channels, size, size, generator=draws)).name
        except NoHeadError:
            return base.prunable(model, scope, None)
        except (RuntimeError, AssertionError, ValueError):
            continue
        return base.prunable(model, scope, head)
    linear = [name for name, one in model.named_modules() if isinstance(one, nn.Linear)]
    return base.prunable(model, scope, linear[-1] if linear else None)


def random_mask(model: nn.Module, names: Iterable[str], *, kept: float, seed: int = 0) -> Mask:
    """A mask that keeps each weight of the parameters ``names`` with probability ``kept``."""
    generator = torch.Generator().manual_seed(seed)
    parameters = dict(model.named_parameters())
    return Mask(
        {name: torch.rand(parameters[name].shape, generator=generator) < kept for name in names}
    )


def make_checkpoint(
    dataset: ImageDataset, *, kept: float = 0.3, seed: int = 3, arch: str = "resnet_mini"
) -> Checkpoint:
    """A sparse network with batch statistics that are not those of a fresh one."""
    recipe = make_recipe(dataset, arch=arch, seed=seed)
    model = recipe.model.build(seed)
    model.train()
    with torch.no_grad():
        model(dataset.train.pixels[:16].float() / 255)
    mask = random_mask(model, prunable(model), kept=kept, seed=seed)
    mask.apply(model)
    return Checkpoint(model.eval(), mask, Spec(DataSpec.of(dataset), recipe, history=("pruned",)))


def as_arrays(mask: Mask) -> dict[str, NDArray[np.bool_]]:
    """The mask as plain numpy arrays."""
    return {name: mask[name].numpy() for name in mask}


def same_masks(one: Mask, other: Mask) -> bool:
    """Whether names, shapes and bits agree, looked at one by one."""
    left, right = as_arrays(one), as_arrays(other)
    return left.keys() == right.keys() and all(
        left[name].shape == right[name].shape and np.array_equal(left[name], right[name])
        for name in left
    )


def bits(tensor: torch.Tensor) -> NDArray[np.uint8]:
    """The bytes of a tensor, so that NaN equals itself and -0.0 differs from 0.0."""
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8).numpy()


# --- files --------------------------------------------------------------------------------


def encoded(pixels: NDArray[np.generic], kind: str = "PNG") -> bytes:
    """The bytes of an image file."""
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind)
    return stream.getvalue()


def write_tree(root: Path, files: Mapping[str, bytes]) -> Path:
    """Write ``files`` below ``root``."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return root


def write_tar(path: Path, files: Iterable[tuple[str, bytes]], mode: str = "w") -> Path:
    """Write ``files`` into a tar, in their order."""
    with tarfile.open(path, mode, format=tarfile.USTAR_FORMAT) as archive:  # type: ignore[call-overload]
        for name, content in files:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def flipped(content: bytes, place: int, change: int = 1) -> bytes:
    """``content`` with the bits ``change`` of the byte at ``place`` turned over."""
    assert 0 < change < 256
    return content[:place] + bytes([content[place] ^ change]) + content[place + 1 :]
