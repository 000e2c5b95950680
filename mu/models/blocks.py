"""Blocks of any network, in the order of a forward pass: what lies between two of its waists.

A waist is a value through which everything passes that leads from the image to the logits, as the
graph of gradients shows. Between two layers that follow each other there is one, inside a residual
connection, an attention or a concatenation there is none. A block begins after the last waist
before a weight of two dimensions or more (a convolution, a linear layer), and ends before the next
block: so normalisation, activation and pooling belong to the layer before them, and a residual
connection with all that it spans is one block. The last block holds the classifier.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from contextlib import ExitStack
from itertools import accumulate
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

Node = Any  # of the graph of gradients


class Part(NamedTuple):
    """The upper part of a network, from a waist to the logits."""

    parameters: tuple[str, ...]  # names of those that are used there alone
    modules: tuple[str, ...]  # names of those that are called there alone

    def words(self, model: nn.Module) -> str:
        """The largest modules of ``model`` that lie in the part, and parameters in no such one."""
        found, inside = [], {*self.parameters}
        waiting = [("", model)]
        while waiting:
            name, module = waiting.pop(0)
            prefix = f"{name}." if name else ""
            names = {prefix + one for one, _ in module.named_parameters()}
            if names and names <= inside:
                found.append(name or "the whole network")
                continue
            own = [prefix + one for one, _ in module.named_parameters(recurse=False)]
            found += [one for one in own if one in inside]
            waiting[:0] = [(prefix + one, child) for one, child in module.named_children()]
        return ", ".join(found) or "nothing"


class _Trace:
    """One forward pass in evaluation mode: which values there are, and what made them.

    ``position``: of each node between image and logits: its place in the order of the pass.
    ``uses``: of each parameter, by name, the positions at which it comes in. ``waists``: positions
    of the waists, in order; the image itself is the first, the logits the last.
    """

    def __init__(self, model: nn.Module, images: Tensor) -> None:
        first = next(model.parameters(), None)
        source = (images if first is None else images.to(first.device, first.dtype)).detach()
        source.requires_grad_()
        self.given: list[tuple[str, Node]] = []  # calls: module and what made its first argument
        with torch.enable_grad():
            logits = self._pass(model, source.clone())
        order = _ordered(logits.grad_fn)
        made_of = {one: [node for node, _ in one.next_functions if node] for one in order}
        seen: set[Node] = set()  # the nodes that depend on the image
        for one in order:
            if getattr(one, "variable", None) is source or seen & {*made_of[one]}:
                seen.add(one)
        self.position = {one: place for place, one in enumerate(n for n in order if n in seen)}
        self.uses = self._uses(model, order, made_of)
        self.waists = self._waists(made_of)

    def _pass(self, model: nn.Module, images: Tensor) -> Tensor:
        """The logits, every call of a module being noted."""
        modes = {module: module.training for module in model.modules()}
        with ExitStack() as stack:
            for name, module in model.named_modules():

                def note(
                    _module: nn.Module, taken: Any, named: dict[str, Any], name: str = name
                ) -> None:
                    values = (one for one in (*taken, *named.values()) if isinstance(one, Tensor))
                    self.given.append((name, getattr(next(values, None), "grad_fn", None)))

                hook = module.register_forward_pre_hook(note, with_kwargs=True)
                stack.callback(hook.remove)
            try:
                logits: Tensor = model.eval()(images)
            finally:
                for module, mode in modes.items():
                    module.training = mode
        return logits

    def _uses(
        self, model: nn.Module, order: list[Node], made_of: dict[Node, list[Node]]
    ) -> dict[str, set[int]]:
        names = {id(one): name for name, one in model.named_parameters()}
        uses: dict[str, set[int]] = defaultdict(set)
        brought: dict[Node, set[str]] = {}  # parameters in what does not depend on the image
        for one in order:
            below = [brought.get(node, set()) for node in made_of[one]]
            mine = set().union(*below, {names.get(id(getattr(one, "variable", None)), "")} - {""})
            if one not in self.position:
                brought[one] = mine
                continue
            for name in mine:
                uses[name].add(self.position[one])
        return uses

    def _waists(self, made_of: dict[Node, list[Node]]) -> list[int]:
        """Positions that nothing passes by."""
        last = [*range(len(self.position))]  # of each node, where it is used last
        for one, place in self.position.items():
            for node in made_of[one]:
                if node in self.position:
                    last[self.position[node]] = place
        reach = [0, *accumulate(last, max)]  # how far anything before a position goes
        return [place for place in range(len(last)) if reach[place] <= place]


def _ordered(end: Node) -> list[Node]:
    """All nodes that lead to ``end``, each after those that it is made of."""
    order, done = [], set()
    waiting = [(end, False)] if end is not None else []
    while waiting:
        one, ready = waiting.pop()
        if ready:
            order.append(one)
        elif one not in done:
            done.add(one)
            waiting.append((one, True))
            waiting += [(node, False) for node, _ in one.next_functions if node]
    return order


def first_layer(model: nn.Module, images: Tensor) -> list[nn.Parameter]:
    """The parameters of the convolution or linear layer that is called first; none of no such one.

    ``images``: of shape (n, channels, height, width); two are enough.
    """
    for name, _ in _Trace(model, images).given:
        module = model.get_submodule(name)
        if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear)):
            return [*module.parameters()]
    return []


def last_blocks(model: nn.Module, images: Tensor, count: int) -> Part:
    """The last ``count`` blocks, the classifier being one; all of the network if it has no more.

    Parameters that are used further down too are in none of them, nor are those that no gradient
    comes to. ``images``: of shape (n, channels, height, width); two are enough.
    """
    trace = _Trace(model, images)
    tall = {name for name, one in model.named_parameters() if one.ndim > 1}
    # The waist that each weight comes after.
    starts = sorted(
        {
            bisect_left(trace.waists, place) - 1
            for name in tall & trace.uses.keys()
            for place in trace.uses[name]
        }
    )
    if len(starts) <= count:
        names = tuple(name for name, _ in model.named_parameters())
        return Part(names, tuple(name for name, _ in model.named_modules()))
    floor = trace.waists[starts[-count]]
    parameters = tuple(
        name for name, _ in model.named_parameters() if min(trace.uses.get(name, {-1})) > floor
    )
    lowest: dict[str, int] = {}
    for name, node in trace.given:
        lowest[name] = min(lowest.get(name, len(trace.position)), trace.position.get(node, -1))
    holders = {name.rpartition(".")[0] for name in parameters}
    modules = (
        name
        for name, _ in model.named_modules()
        if name in holders or lowest.get(name, -1) >= floor
    )
    return Part(parameters, tuple(modules))
