"""Gradients of a network's outputs for every sample of a batch by itself.

The network is in evaluation mode, so samples do not touch each other, and one backward pass holds
what all of them need; each layer's formula takes it apart (:mod:`mu.fisher.layers`). Where a
network has parameters outside such layers (attention, position embeddings), torch's own
vectorised differentiation does all of it; that is several times slower on convolutions.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, vmap
from torch.nn.attention import SDPBackend, sdpa_kernel

from mu.fisher.layers import Call, Piece, is_known


class PerSample:
    """Takes batches through a network and differentiates them sample by sample.

    While it does, the network is to be under :func:`evaluating`.
    """

    def __init__(self, model: nn.Module) -> None:
        self._model = model
        # Not known before the first batch.
        self._kind: type[_ByLayers] | type[_ByVmap] | None = None

    def batch(self, images: Tensor) -> _ByLayers | _ByVmap:
        """Take images (n, channels, height, width) through the network."""
        if self._kind is None:
            self._kind = _ByLayers if _layers_are_enough(self._model, images[:2]) else _ByVmap
        return self._kind(self._model, images)


def score(logits: Tensor, labels: Tensor) -> Tensor:
    """The gradient of the log-likelihood of ``labels`` by the logits: e_label - softmax.

    The label's own entry is the sum of the other probabilities, not one minus its own: where a
    network is sure, the difference would have no digits left. ``logits``: of shape (n_samples,
    n_classes). ``labels``: int64 of shape (n_samples,).
    """
    likely = logits.softmax(1)
    own = labels[:, None]
    rest = likely.scatter(1, own, 0.0).sum(1, keepdim=True)
    return (-likely).scatter(1, own, rest)


@contextmanager
def evaluating(model: nn.Module) -> Iterator[PerSample]:
    """Have ``model`` in evaluation mode, without gradients, and differentiable by sample."""
    modes = [(module, module.training) for module in model.modules()]
    required = [(one, one.requires_grad) for one in model.parameters()]
    model.eval().requires_grad_(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):  # the fused kernels have no vectorised gradient
            yield PerSample(model)
    finally:
        for module, was_training in modes:
            module.training = was_training
        for parameter, was_required in required:
            parameter.requires_grad_(was_required)


class _ByLayers:
    """By the formulas of layers: a backward pass to the images passes by all of them.

    Its ``logits`` are of shape (n_samples, n_classes), detached.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._images = images.detach().requires_grad_(True)
        self._calls: list[Call] = []
        with ExitStack() as stack, torch.enable_grad():
            for module in model.modules():
                if is_known(module):
                    hook = module.register_forward_hook(self._note, with_kwargs=True)
                    stack.callback(hook.remove)
            self._logits = model(self._images.clone())  # which may be overwritten in place
        self.logits = self._logits.detach()

    def _note(
        self,
        module: nn.Module,
        taken: tuple[Tensor, ...],
        named: dict[str, Tensor],
        output: Tensor,
    ) -> None:
        (signal,) = (*taken, *named.values())
        self._calls.append(Call(module, signal, output))

    def is_regular(self) -> bool:
        """Whether each parameter served one call at most, on one row a sample."""
        used = [one for call in self._calls for one in call.module.parameters()]
        return (
            self._logits.requires_grad
            and len(set(used)) == len(used)
            and all(call.rows == len(self._images) for call in self._calls)
        )

    def gradients(self, weights: Tensor, *, last: bool = False) -> Iterator[Piece]:
        """The gradients, for each sample, of the sum over classes of ``weights * logits``.

        In pieces that do not overlap; what they leave out is zero. ``weights``: of shape
        (n_samples, n_classes). ``last``: whether no more gradients will be asked for: what they
        would need is let go.
        """
        torch.autograd.grad(
            self._logits, self._images, weights, retain_graph=not last, allow_unused=True
        )
        for call in self._calls:
            yield from call.pieces()
            if last:
                call.release()


class _ByVmap:
    """By torch's vectorised differentiation, for networks of any parts."""

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        self._model, self._images = model, images
        with torch.no_grad():
            self.logits = model(images.clone())

    def gradients(self, weights: Tensor, *, last: bool = False) -> Iterator[Piece]:  # noqa: ARG002
        """See :meth:`_ByLayers.gradients`."""
        parameters = dict(self._model.named_parameters())
        first = {one: name for name, one in parameters.items()}
        # Where a parameter is used, each place once. torch's own ``tie_weights`` does not put back
        # those of a module that stands in several places.
        places = {
            f"{module}.{name}".lstrip("."): first[one]
            for module, part in self._model.named_modules()
            for name, one in part._parameters.items()
            if one is not None
        }

        def of_one(values: dict[str, Tensor], image: Tensor, own: Tensor) -> Tensor:
            there = {place: values[name] for place, name in places.items()}
            logits: Tensor = functional_call(
                self._model, there, (image.clone()[None],), tie_weights=False
            )
            return (logits[0] * own).sum()

        with warnings.catch_warnings():  # of operations that are done one by one
            warnings.filterwarnings("ignore", "There is a performance drop")
            found = vmap(grad(of_one), (None, 0, 0))({**parameters}, self._images, weights)
        for name, values in found.items():
            yield Piece(parameters[name], 0, values.reshape(len(values), -1))


def _layers_are_enough(model: nn.Module, images: Tensor) -> bool:
    """Whether the formulas of layers give each sample's gradients, by trying.

    A parameter may be used outside its layer, or a layer twice, or on samples that are not its
    rows, which no list of modules tells.
    """
    tried = _ByLayers(model, images)
    if not tried.is_regular():
        return False
    weights = torch.linspace(-1, 2, tried.logits.numel(), device=images.device)
    weights = weights.view_as(tried.logits).to(tried.logits)
    parameters = list(model.parameters())
    found = {one: one.new_zeros(len(images), one.numel()) for one in parameters}
    covered = set()
    for parameter, start, values in tried.gradients(weights):
        found[parameter][:, start : start + values.shape[1]] = values
        covered.add(parameter)
    with torch.enable_grad():
        model.requires_grad_(True)
        scores = (model(images.clone()) * weights).sum(1)
        plain = [
            torch.autograd.grad(
                one, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
            )
            for one in scores
        ]
        model.requires_grad_(False)
    for number, expected in enumerate(plain):
        whole = torch.stack(torch._foreach_norm(expected)).norm()
        for parameter, right in zip(parameters, expected, strict=True):
            error = (found[parameter][number] - right.reshape(-1)).norm()
            # Rounding, that of TensorFloat-32 included; what was left out must be zero.
            bound = 1e-2 * right.norm() + 1e-4 * whole if parameter in covered else 0.0
            if not bool(error <= bound):
                return False
    return True
