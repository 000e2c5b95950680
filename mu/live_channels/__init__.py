"""Passes over the channels that a mask leaves alive: the same answers and gradients, sooner.

A filter without weights gives the same number at every pixel of every image, before and after
normalisation, activation and pooling. So while a network is trained or asked, such channels are
carried as one number each (:mod:`mu.live_channels.channels`), and convolutions and linear layers
compute the others alone (:mod:`mu.live_channels.layers`). What they add to the layers that read
them is computed for one image instead of a batch. Nothing is left out: parameters, running
statistics and gradients are those of the masked network, to rounding.

Whatever these rules do not know sees all channels, as an ordinary tensor. Before a network of any
kind is passed like that, a copy is tried on two images, in double precision; where the logits
differ, or the copy fails, the network stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from mu.live_channels.layers import Rows, swapped

# Share of filters without weights from which on it pays, see benchmarks/live_channels.py.
LEAST = 0.4
_AGREE: WeakKeyDictionary[nn.Module, bool] = WeakKeyDictionary()  # by network: did the trial


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
    filters = sum(len(one) for one in rows.values())
    dead = filters - sum(int(one.sum()) for one in rows.values())
    pays = filters > 0 and dead >= LEAST * filters and _device(model) == "cpu"
    if not pays or not _agrees(model, rows, images):
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
        one[0] |= ~one.any()  # of an empty layer one filter is computed all the same
    return rows


def _device(model: nn.Module) -> str:
    return next(model.parameters()).device.type


def _agrees(model: nn.Module, rows: Rows, images: Callable[[], Tensor]) -> bool:
    """Whether a copy gives the same logits both ways, in training and in evaluation."""
    if model not in _AGREE:
        one, two = copy.deepcopy(model).double(), images()[:2].double()
        try:
            _AGREE[model] = all(_same(one.train(mode), rows, two) for mode in (True, False))
        except Exception:  # a network of any kind; it is passed as it is
            _AGREE[model] = False
    return _AGREE[model]


@torch.no_grad()
def _same(model: nn.Module, rows: Rows, images: Tensor) -> bool:
    logits = []
    for taken in ({}, rows):
        with torch.random.fork_rng([]), swapped(model, taken):
            torch.manual_seed(0)
            logits.append(model(images))
    whole, live = logits
    return bool((whole - live).abs().max() <= 1e-6 * whole.abs().max().clamp(min=1e-6))
