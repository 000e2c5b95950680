"""The head of a classifier: the linear layer whose output is the logits, and what goes into it.

It is found by what a forward pass shows, not by where it is defined: a network may define its head
first, and squeeze-and-excitation blocks have linear layers too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.errors import UserError
from mu.models import ModelSpec
from mu.runs import Run

BATCH_SIZE = 512
LAYERS = (nn.Linear, nn.Conv2d)


class Head(NamedTuple):
    """The layer whose output is the logits: ``weight.flatten(1) @ input.flatten(1) + bias``.

    Its weight has a row for each class, its input, flattened, a column for each feature.
    """

    name: str  # in the network: ``fc``, ``classifier.6``
    module: nn.Linear | nn.Conv2d


class NoHeadError(UserError):
    """The network has no layer whose output is the logits."""


class _Call(NamedTuple):
    """One call of a layer: of a module without parts, or of one that could be the head."""

    name: str
    module: nn.Module
    taken: Tensor | None  # the first tensor that it was given
    output: Tensor | None

    @property
    def words(self) -> str:
        """Name and kind of the module."""
        kind = type(self.module).__name__
        return f"{self.name!r} ({kind})" if self.name else f"the network itself ({kind})"


@torch.no_grad()
def find_head(model: nn.Module, images: Tensor) -> Head:
    """The head of ``model``, found by passes of a few images in evaluation mode.

    The head is a linear layer, or a convolution that sees its whole input at once, that is called
    once, and whose output the network gives on as it is: where another output is put in its place,
    the network's output is that. A sum of two layers, a scale after the layer, or a pooling after a
    convolution leave no head. ``images``: float of shape (n, channels, height, width); two are
    enough. NoHeadError if there is none; it names the last module before the logits.
    """
    was_training = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        calls, logits = _calls(model, images := _like_weights(images, model))
        times = Counter(call.module for call in calls)
        for call in reversed(calls):
            if times[call.module] > 1 or not _is_linear(call, logits):
                continue
            if _is_given_on(model, images, call):
                assert isinstance(call.module, LAYERS)
                return Head(call.name, call.module)
    finally:
        for module, mode in was_training:
            module.training = mode
    raise NoHeadError(
        "the network has no head, a linear layer whose output is the logits: "
        + (f"the last module before them is {calls[-1].words}" if calls else "it has no modules")
    )


def head_name(model: nn.Module, spec: ModelSpec) -> str | None:
    """Name of the head of ``model``, which ``spec`` describes; None where it has none."""
    try:
        return find_head(model, spec.example()).name
    except NoHeadError:
        return None


def _like_weights(images: Tensor, model: nn.Module) -> Tensor:
    first = next(model.parameters(), None)
    return images if first is None else images.to(first.device, first.dtype)


def _calls(model: nn.Module, images: Tensor) -> tuple[list[_Call], Tensor]:
    """The calls of all layers, in their order, and the logits."""
    found: list[_Call] = []
    with ExitStack() as stack:
        for name, module in model.named_modules():

            def note(
                one: nn.Module,
                taken: tuple[object, ...],
                named: dict[str, object],
                output: object,
                name: str = name,
            ) -> None:
                first = next(iter((*taken, *named.values())), None)
                found.append(_Call(name, one, _copy(first), _copy(output)))

            if isinstance(module, LAYERS) or next(module.children(), None) is None:
                hook = module.register_forward_hook(note, with_kwargs=True)
                stack.callback(hook.remove)
        logits = model(images.clone())
    return found, logits


def _copy(value: object) -> Tensor | None:
    """What comes later may overwrite a tensor in place."""
    return value.clone() if isinstance(value, Tensor) else None


def _is_linear(call: _Call, logits: Tensor) -> bool:
    """Whether a call gave as many numbers as there are logits, as a linear map of its input."""
    module, taken, output = call.module, call.taken, call.output
    if not isinstance(module, LAYERS) or taken is None or output is None:
        return False
    rows = module.weight.flatten(1)
    if output.numel() != logits.numel() or len(rows) != logits.shape[1]:
        return False
    features = taken.flatten(1)
    if features.shape != (len(logits), rows.shape[1]):
        return False
    expected = nn.functional.linear(features, rows, module.bias)
    # Rounding, that of TensorFloat-32 included.
    return torch.allclose(output.flatten(1), expected, rtol=1e-2, atol=1e-3, equal_nan=True)


def _is_given_on(model: nn.Module, images: Tensor, call: _Call) -> bool:
    """Whether the network's output is this layer's, whatever that is: random numbers, here."""
    assert call.output is not None
    draws = torch.Generator().manual_seed(0)
    # Large, and of both signs: a bound or an activation that comes after it must show.
    numbers = (1e3 * torch.randn(call.output.shape, generator=draws)).to(call.output)
    hook = call.module.register_forward_hook(lambda *_: numbers.clone())
    try:
        found = model(images.clone())
    finally:
        hook.remove()
    return torch.equal(found.flatten(1).to(numbers), numbers.flatten(1))


@torch.no_grad()
def reset_outputs(model: nn.Module, head: Head, classes: Sequence[int]) -> list[Tensor]:
    """Set weights and biases of these classes in the head to zero: their logits become 0.

    ``head``: as :func:`own_head` gives it. Gives for each parameter of the network, in their order,
    zeros where it was reset and ones elsewhere.
    """
    parameters, rows, marks = {*map(id, head.module.parameters())}, list(classes), []
    for parameter in model.parameters():
        marks.append(torch.ones_like(parameter))
        if id(parameter) in parameters:
            parameter[rows] = marks[-1][rows] = 0.0
    return marks


def own_head(model: nn.Module, images: Tensor) -> Head:
    """:func:`find_head`, for whoever changes its weights: no other module may use them, too.

    UserError if there is no head, or one does.
    """
    head = find_head(model, images)
    mine = {id(one) for one in head.module.parameters(recurse=False)}
    if id(head.module.weight) not in mine:
        raise UserError(f"the weights of the head {head.name!r} are made of others in each pass")
    for name, module in model.named_modules():
        used = {id(one) for one in module.parameters(recurse=False)}
        if module is not head.module and used & mine:
            raise UserError(
                f"the head {head.name!r} shares its weights with {name or 'the network'!r}, so it "
                "cannot be changed alone"
            )
    return head


def head_for(option: str, model: nn.Module, images: Tensor, remedy: str) -> Head:
    """:func:`own_head`; where that is refused, it is for ``option``, and with a remedy."""
    try:
        return own_head(model, images)
    except UserError as error:
        raise UserError(f"{option}: {error}; {remedy}") from error


@torch.no_grad()
def features(model: nn.Module, subset: Subset, run: Run) -> Tensor:
    """What the head of ``model`` is given for each sample, in evaluation mode.

    float64 of shape (n_samples, n_features), on the CPU. A network without a head is refused
    (:class:`NoHeadError`).
    """
    found: list[Tensor] = []

    def keep(_module: nn.Module, taken: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        (signal,) = (*taken, *named.values())
        found.append(signal.flatten(1).float())

    was_training = model.training
    run.place(model, subset.images.shape).eval()
    batches = Batches(subset, BATCH_SIZE, run.device)
    try:
        head = find_head(model, batches.few()[0])
        handle = head.module.register_forward_pre_hook(keep, with_kwargs=True)
        try:
            for images, _ in batches.in_order():
                with run.autocast():
                    model(images)
        finally:
            handle.remove()
    finally:
        model.train(was_training)
    return torch.cat(found).cpu().double()
