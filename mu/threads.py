"""How many threads torch and numpy compute with on the CPU.

They divide a sum among threads, and each part is rounded apart: with another number of
threads the same seed gives other bits, and at the end of a training another network. Small networks
gain nothing by a second thread (``python -m benchmarks.threads``), so they get one everywhere, and
two machines of a kind agree whatever the number of their cores.
"""

from __future__ import annotations

import os
from functools import cache

import torch
from threadpoolctl import ThreadpoolController
from torch import nn

from mu.distributed.place import place

# Weights times pixels of an image: above the multiplications that nearly every network does.
SMALL = 25_000_000

_TORCHS = torch.get_num_threads()  # as torch starts: one for each core, or OMP_NUM_THREADS


def work_of(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """Weights times pixels."""
    return sum(one.numel() for one in model.parameters()) * shape[1] * shape[2]


def suited(model: nn.Module, shape: tuple[int, int, int]) -> int:
    """The number of threads for a network that sees images of ``shape``, (channels, y, x).

    It depends on the machine only where weights times pixels are above :data:`SMALL`: there it is
    the cores that this process may use or ``OMP_NUM_THREADS``, shared among the ranks on this
    machine.
    """
    if work_of(model, shape) <= SMALL:
        return 1
    if "OMP_NUM_THREADS" in os.environ:  # of each process, where there are several
        return _TORCHS
    return max(1, _TORCHS // place().local_size)


def compute_with(number: int) -> None:
    """Have torch, and the linear algebra of numpy and scipy, compute with so many threads."""
    torch.set_num_threads(number)
    _linear_algebra().limit(limits=number)


@cache
def _linear_algebra() -> ThreadpoolController:
    import scipy.linalg  # noqa: F401  # has a library of its own, which is known once it is loaded

    return ThreadpoolController().select(user_api="blas")
