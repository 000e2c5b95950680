"""Ranks: the processes that do one piece of work together, and how they share its samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from mu.distributed.group import explained, from_first, join

Value = TypeVar("Value")


@dataclass(frozen=True)
class Ranks:
    """A process's place among those that run the same code on other samples.

    What has to do with the others is called by all of them, in the same order. By default the
    process is alone, and nothing is sent.
    """

    rank: int = 0  # 0 to size - 1
    size: int = 1
    device: str = "cpu"  # or ``cuda``: where tensors must lie that are sent
    local_rank: int = 0  # among the processes on this machine
    local_size: int = 1

    @classmethod
    def of(cls, device: str) -> Ranks:
        """The place of this process among those that the launcher started, which it joins."""
        here = join()
        return cls(here.rank, here.size, device, here.local_rank, here.local_size)

    @property
    def suffix(self) -> str:
        """Of the purpose of what each rank draws by itself; the first one draws as one alone."""
        return f" by rank {self.rank}" if self.rank else ""

    def part(self, start: int, end: int) -> tuple[int, int]:
        """Which of the places ``start <= place < end`` are this rank's: first, and last + 1.

        Those of all ranks follow each other, and their sizes differ by one at the most.
        """
        size, larger = divmod(end - start, self.size)
        first = start + self.rank * size + min(self.rank, larger)
        return first, first + size + (self.rank < larger)

    def add_up(self, values: Tensor) -> Tensor:
        """The sum over all ranks."""
        if self.size == 1:
            return values
        summed = values.to(self.device, copy=True)
        with explained():
            dist.all_reduce(summed)
        return summed.to(values.device)

    def average(self, values: Sequence[Tensor]) -> None:
        """Make each of these tensors the mean over all ranks, in place."""
        if self.size == 1:
            return
        for value in values:
            value.copy_(self.add_up(value) / self.size)

    def gather(self, rows: Tensor, total: int) -> Tensor:
        """The rows of all ranks, one rank's after the other's, in each of them.

        ``rows``: of shape (part's size, ...): what came of this rank's :meth:`part` of ``total``.
        Of a rank without a part, rows count for their shape alone.
        """
        if self.size == 1:
            return rows
        parts = (replace(self, rank=rank).part(0, total) for rank in range(self.size))
        sizes = [last - first for first, last in parts]
        # As bytes, since not all kinds of numbers can be sent.
        padded = rows.new_zeros(max(sizes), *rows.shape[1:], device=self.device)
        padded[: len(rows)] = rows
        sent = padded.reshape(-1).view(torch.uint8)
        found = [torch.empty_like(sent) for _ in sizes]
        with explained():
            dist.all_gather(found, sent)
        each = (one.view(rows.dtype).view(padded.shape) for one in found)
        whole = torch.cat([one[:size] for one, size in zip(each, sizes, strict=True)])
        return whole.to(rows.device)

    def same(self, value: Value) -> Value:
        """The value of the first rank, in each of them."""
        return value if self.size == 1 else from_first(lambda: value)

    def same_weights(self, model: nn.Module) -> None:
        """Give all ranks the first one's weights and buffers, in place."""
        if self.size == 1:
            return
        for value in model.state_dict().values():
            sent = value.to(self.device, copy=True)
            with explained():
                dist.broadcast(sent, src=0)
            value.copy_(sent)


ALONE = Ranks()
