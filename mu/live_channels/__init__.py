"""Passes over the channels that a mask leaves alive: the same answers and gradients, sooner.

A filter without weights gives the same number at every pixel of every image, before and after
normalisation, activation and pooling. So while a network is trained or asked, such channels are
carried as one number each (:mod:`mu.live_channels.channels`), and convolutions and linear layers
compute the others alone (:mod:`mu.live_channels.layers`). What they add to the layers that read
them is computed for one image instead of a batch. Nothing is left out: parameters, running
statistics and gradients are those of the masked network, to rounding.

Whatever these rules do not know sees all channels, as an ordinary tensor. Before a network of any
kind is passed like that, a copy is tried on two images, in double precision; where logits or
gradients differ, or the copy fails, the network stays as it is.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mu.live_channels.layers import Rows, swapped

# Share of filters without weights from which on it pays, see benchmarks/live_channels.py.
LEAST = 0.4
# By network: what the trial was of, and whether both ways agreed.
_AGREE: WeakKeyDictionary[nn.Module, tuple[bytes, bool]] = WeakKeyDictionary()


@contextmanager
def live_channels(
    model: nn.Module, images: Callable[[], Tensor], kept: Mapping[str, Tensor] | None = None
) -> Iterator[bool]:
    """Pass ``model`` over its live channels within the block; gives whether that is done.

    Parameters
    ----------
    images
        Gives two or more of those to come, as the network takes them.
    kept
        By name of a parameter what a mask keeps of it, while the network is trained. By default
        the weights that are not zero now: for networks that are not trained meanwhile.
    """
    rows = live_rows(model, kept)
    if not _pays(model, rows) or not _agrees(model, rows, images):
        yield False
        return
    with swapped(model, rows):
        yield True


def live_rows(model: nn.Module, kept: Mapping[str, Tensor] | None = None) -> Rows:
    """For each convolution and linear layer, by name, which of its filters have weights."""
    if kept is None:
        given = {id(one): one.detach() for one in model.parameters()}
    else:
        given = {id(model.get_parameter(name)): one for name, one in kept.items()}
    rows = {
        name: given[id(layer.weight)].flatten(1).any(1).to(layer.weight.device)
        for name, layer in model.named_modules()
        if type(layer) in (nn.Conv2d, nn.Linear) and id(layer.weight) in given
    }
    for one in rows.values():
        one[:1] |= ~one.any()  # of an empty layer one filter is computed all the same
    return rows


def _pays(model: nn.Module, rows: Rows) -> bool:
    filters = sum(len(one) for one in rows.values())
    dead = filters - sum(int(one.sum()) for one in rows.values())
    if not filters or dead < LEAST * filters or next(model.parameters()).device.type != "cpu":
        return False
    # Those want the tensor of all channels, and to make it takes longer than is saved.
    return not any(isinstance(one, nn.Conv2d) and one.groups > 1 for one in model.modules())


def _agrees(model: nn.Module, rows: Rows, images: Callable[[], Tensor]) -> bool:
    """Whether a copy gives the same both ways, in training and in evaluation."""
    # Another mask shows such channels to other layers, so it needs another trial.
    tried = torch.cat([*rows.values()]).numpy().tobytes()
    if _AGREE.get(model, (b"", False))[0] != tried:
        try:
            with warnings.catch_warnings(action="ignore"):  # the network itself will tell
                one, two = _shifted(model, rows), images()[:2].double()
                found = all(_same(one.train(mode), rows, two) for mode in (True, False))
        except Exception:  # a network of any kind; it is passed as it is
            found = False
        _AGREE[model] = tried, found
    return _AGREE[model][1]


def _shifted(model: nn.Module, rows: Rows) -> nn.Module:
    """A copy in which biases and the like are not the zeros and ones that they begin as.

    Those would hide what goes wrong as soon as training moves them.
    """
    # torch calls hooks on gradients for tensors alone, and compiles anew for layers of new classes.
    if any(one._backward_hooks or hasattr(one, "_orig_mod") for one in model.modules()):
        raise TypeError("of these there is no trial")
    model = copy.deepcopy(model).double().requires_grad_(True)
    masked = {id(model.get_submodule(name).weight) for name in rows}
    draws = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for one in model.parameters():
            if id(one) not in masked:
                one.add_(torch.randn(one.shape, generator=draws), alpha=0.1)
    return model


@torch.enable_grad()
def _same(model: nn.Module, rows: Rows, images: Tensor) -> bool:
    found = []
    for taken in ({}, rows):
        with torch.random.fork_rng([]), swapped(model, taken):
            torch.manual_seed(0)
            logits = model(images)
            found.append([logits.detach()])
            if model.training:
                found[-1].append(_gradient(model, rows, logits))
    return all(
        bool((whole - live).abs().max() <= 1e-6 * whole.abs().max().clamp(min=1e-6))
        for whole, live in zip(*found, strict=True)
    )


def _gradient(model: nn.Module, rows: Rows, logits: Tensor) -> Tensor:
    """Of all parameters but filters without weights, in one row."""
    alive = {model.get_submodule(name).weight: one for name, one in rows.items()}
    of = [*model.parameters()]
    given = torch.autograd.grad(logits.square().sum(), of, allow_unused=True)
    found = zip(of, given, strict=True)
    return torch.cat([g[alive.get(one, ...)].flatten() for one, g in found if g is not None])
