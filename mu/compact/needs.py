"""Which channels of which values have to stay, as the smallest sets that agree with each other."""

from __future__ import annotations

import torch
from torch import Tensor, fx

from mu.compact.constants import foldable, rows
from mu.compact.kinds import Kind


class Needs:
    """The channels that stay, of every node with channels: bool (width,).

    They grow from what the logits need, against the order of the pass, until nothing changes.
    """

    def __init__(self, found: dict[fx.Node, Kind], known: dict[fx.Node, Tensor]) -> None:
        self._found, self._known = found, known
        self.kept = {node: torch.zeros(len(one), dtype=torch.bool) for node, one in known.items()}
        while True:
            self._grow()
            if not self._cover_one_sum():
                return

    def _grow(self) -> None:
        changed = True
        while changed:
            changed = False
            for node in reversed(self._found):
                kind = self._found[node]
                if kind.name == "opaque":
                    for one in node.all_input_nodes:
                        changed |= self._need(one, None)
                else:
                    changed |= self._pass_on(node, kind)

    def _need(self, node: fx.Node, channels: Tensor | None) -> bool:
        """Have these channels kept, by default all; whether that is new."""
        if node not in self.kept:
            return False
        before = self.kept[node]
        after = torch.ones_like(before) if channels is None else before | channels
        self.kept[node] = after
        return not torch.equal(before, after)

    def _pass_on(self, node: fx.Node, kind: Kind) -> bool:
        """What the node needs of its inputs, and what these hold in any case."""
        if kind.name == "size":
            return self._need(node.all_input_nodes[0], self._first(node.all_input_nodes[0]))
        if not kind.width or not self.kept[node].any():
            return False
        if kind.name in ("conv", "linear"):
            (given,) = kind.inputs
            return given in self.kept and self._need(given, self._read(node, kind))
        if kind.name == "sum":
            return self._pass_on_sum(node, kind)
        changed, offset, wanted = False, 0, self.kept[node]
        for one in kind.inputs:
            width = len(self.kept[one])
            if kind.name == "cat":
                own = wanted[offset : offset + width]
                changed |= self._need(one, own)
                wanted[offset : offset + width] |= self.kept[one]
                offset += width
                continue
            times = kind.width // width  # features of a channel, once it is flattened
            changed |= self._need(one, wanted.view(-1, times).any(1))
        if kind.name != "cat":
            for one in kind.inputs:
                held = self.kept[one].repeat_interleave(kind.width // len(self.kept[one]))
                changed |= self._need(node, held)
        return changed

    def _read(self, node: fx.Node, kind: Kind) -> Tensor:
        """The inputs of a layer that its needed outputs read, and at least one."""
        (given,) = kind.inputs
        constant = self._known[given]
        read = (rows(kind.module)[self.kept[node]] != 0).any(2).any(0)
        wanted = read & constant.isnan()
        at_borders = merged(kind, constant)
        if (read & at_borders).any():
            wanted[chosen(constant, at_borders)] = True
        return wanted if wanted.any() else self._first(given)

    def _first(self, node: fx.Node) -> Tensor:
        """The channel that stays where none is read: a layer cannot be empty."""
        found = torch.zeros(self._found[node].width, dtype=torch.bool)
        if node in self.kept:
            held = self.kept[node]
            found[int(held.int().argmax())] = True
        return found

    def _pass_on_sum(self, node: fx.Node, kind: Kind) -> bool:
        changed = False
        for one in kind.inputs:
            changed |= self._need(one, self.kept[node] & self._known[one].isnan())
            changed |= self._need(node, self.kept[one])
        return changed

    def _cover_one_sum(self) -> bool:
        """Have one branch of a sum hold all that the sum does, so that others can be added to it.

        Whether there was such a sum that no branch covers; it is the wider branch that grows.
        """
        for node in reversed(self._found):
            kind = self._found[node]
            if kind.name != "sum" or not self.kept[node].any():
                continue
            counts = [int(self.kept[one].sum()) for one in kind.inputs]
            if max(counts) < int(self.kept[node].sum()):
                self._need(kind.inputs[counts.index(max(counts))], self.kept[node])
                return True
        return False


def merged(kind: Kind, constant: Tensor) -> Tensor:
    """Inputs of a layer that are constant, but count for less at borders: they become one."""
    return ~constant.isnan() & ~foldable(kind, constant)


def chosen(constant: Tensor, among: Tensor) -> int:
    """The one that they become: the largest, so that no weight is blown up."""
    return int(torch.where(among, constant.abs(), -1.0).argmax())
