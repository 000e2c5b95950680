"""Convolutions, normalisations and linear layers that compute live channels alone."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import cast

import torch.nn.functional as F
from torch import Tensor, nn

from mu.live_channels.channels import Channels, Places, dense

Rows = Mapping[str, Tensor]  # by name of a layer, bool of shape (filters,): which have weights


class LiveConv2d(nn.Conv2d):
    """A convolution of which some filters have no weights."""

    places: Places

    def forward(self, images: Tensor | Channels) -> Tensor | Channels:  # type: ignore[override]
        """The maps of its filters; those without weights give their bias."""
        if self.padding_mode != "zeros":
            whole = super().forward(dense(images))
            return _with_bias(whole.index_select(1, self.places.live), self)
        weight = self.weight.index_select(0, self.places.live)
        if isinstance(images, Tensor):
            return _with_bias(self._maps(images, weight, _bias(self)), self)
        live = weight.index_select(1, images.places.live)
        rest = weight.index_select(1, images.places.constant)
        one_image = images.constant.expand(-1, -1, *images.live.shape[2:])
        added = self._maps(one_image, rest, None)
        return _with_bias(self._maps(images.live, live, _bias(self)) + added, self)

    def _maps(self, images: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(images, weight, bias, self.stride, self.padding, self.dilation)


class LiveLinear(nn.Linear):
    """A linear layer of which some units have no weights."""

    places: Places

    def forward(self, features: Tensor | Channels) -> Tensor | Channels:  # type: ignore[override]
        """As :meth:`LiveConv2d.forward`, where a sample is one vector."""
        if features.dim() != 2:  # tokens, whose channels come last
            return super().forward(dense(features))
        weight = self.weight.index_select(0, self.places.live)
        if isinstance(features, Tensor):
            return _with_bias(F.linear(features, weight, _bias(self)), self)
        live = weight.index_select(1, features.places.live)
        rest = weight.index_select(1, features.places.constant)
        found = F.linear(features.live, live, _bias(self))
        return _with_bias(found + F.linear(features.constant, rest), self)


class LiveBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation: the variance of what is constant is zero."""

    def forward(self, images: Tensor | Channels) -> Tensor | Channels:  # type: ignore[override]
        """Normalise, and move the running statistics of all channels."""
        if isinstance(images, Tensor):
            return super().forward(images)
        mean, variance = self.running_mean, self.running_var
        if mean is None or variance is None or self.momentum is None:
            return super().forward(images.dense())
        at, rest = images.places.live, images.places.constant
        means, variances = mean[at], variance[at]
        maps = F.batch_norm(
            images.live,
            means,
            variances,
            _of(self.weight, at),
            _of(self.bias, at),
            self.training,
            self.momentum,
            self.eps,
        )
        constant = images.constant.to(mean.dtype)
        # Centred by the mean of the batch, which is the constant itself, or by the running one.
        centred = constant - (constant if self.training else _shaped(mean[rest]))
        if not self.training:
            centred = centred * _shaped((variance[rest] + self.eps).rsqrt())
        weight, bias = _of(self.weight, rest), _of(self.bias, rest)
        centred = centred if weight is None else centred * _shaped(weight)
        centred = centred if bias is None else centred + _shaped(bias)
        if self.training and self.track_running_stats:
            left = 1 - self.momentum
            moved = left * mean[rest] + self.momentum * constant.detach().flatten()
            mean.index_copy_(0, at, means).index_copy_(0, rest, moved)
            variance.index_copy_(0, at, variances).index_copy_(0, rest, left * variance[rest])
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return Channels(maps, centred, images.places)


_LIVE: dict[type[nn.Module], type[nn.Module]] = {
    nn.Conv2d: LiveConv2d,
    nn.Linear: LiveLinear,
    nn.BatchNorm2d: LiveBatchNorm2d,
}


@contextmanager
def swapped(model: nn.Module, rows: Rows) -> Iterator[None]:
    """Within the block the layers are of the classes above; parameters and names stay theirs.

    What the network gives is a tensor, even where its last layer has outputs without weights.
    """
    layers = {
        module: rows.get(name) for name, module in model.named_modules() if type(module) in _LIVE
    }
    before = {module: type(module) for module in layers} if rows else {}
    hook = model.register_forward_hook(lambda _model, _given, logits: dense(logits))
    try:
        for module, kind in before.items():
            alive = layers[module]
            if kind is not nn.BatchNorm2d:
                weight = cast("Tensor", module.weight)
                every = weight.new_ones(len(weight)).bool()
                module.places = Places(every if alive is None else alive)
            module.__class__ = _LIVE[kind]
        yield
    finally:
        hook.remove()
        for module, kind in before.items():
            module.__class__ = kind
            module.__dict__.pop("places", None)


def _with_bias(live: Tensor, layer: LiveConv2d | LiveLinear) -> Tensor | Channels:
    """What a layer gives, if its live filters give ``live``."""
    places = layer.places
    if not len(places.constant):
        return live
    bias = _of(layer.bias, places.constant)
    shape = (1, len(places.constant), *(1 for _ in live.shape[2:]))
    constant = live.new_zeros(shape) if bias is None else bias.view(shape)
    return Channels(live, constant, places)


def _bias(layer: LiveConv2d | LiveLinear) -> Tensor | None:
    return _of(layer.bias, layer.places.live)


def _of(values: Tensor | None, at: Tensor) -> Tensor | None:
    return None if values is None else values.index_select(0, at)


def _shaped(values: Tensor) -> Tensor:
    return values.view(1, -1, 1, 1)
