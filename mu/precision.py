"""``precision=auto`` on the CPU: bf16 where it is faster, which is measured once, or fp32.

bf16 pays only where the processor has instructions for it, and not for every network. So a few
steps of the network are timed in both, and the decision is kept in the cache: the same command then
gives the same bits on this machine. It stays fp32 where a network is small
(:data:`mu.threads.SMALL`), since there is little to gain and machines of several kinds agree
better, and where the decision cannot be kept, since the next process might decide otherwise.
"""

from __future__ import annotations

import copy
import json
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import torch
import torch.nn.functional as F
from torch import nn

from mu.cache import cache_folder, write_cached
from mu.digests import digest_of
from mu.processor import Processor
from mu.readers.documents import read_json
from mu.threads import SMALL, work_of

WORTH = 1.1  # times as fast as fp32, from which on it is bf16: less is within what timing can tell
PIXELS, FEWEST, MOST = 2**15, 8, 128  # of a batch of images that is timed: in all; images
ROUNDS, SECONDS = 5, 20.0  # a step in each precision; after so long no further round begins

Shape = tuple[int, int, int]  # channels, height, width


class Decision(NamedTuple):
    """``fp32`` or ``bf16``, and a note on it where the user should know."""

    precision: str
    note: str = ""


def decide(
    model: nn.Module,
    shape: Shape,
    processor: Processor | None = None,
    measure: Callable[[nn.Module, Shape], float] | None = None,
) -> Decision:
    """The precision for a network that sees images of ``shape``, with torch's number of threads.

    ``processor`` and ``measure`` take the places of this machine's and of :func:`speedup`. One
    process of a machine measures at a time, and the others take what it finds. The size of batches
    is not that of the training: all that a network does has one precision.
    """
    processor = processor or Processor.of(torch.device("cpu"))
    if not processor.bf16 or work_of(model, shape) <= SMALL:
        return Decision("fp32")
    about = _about(model, shape, processor)
    path = cache_folder() / "precision" / f"{digest_of(about)[:16]}.json"
    if (gain := _kept(path, about)) is None:
        try:
            gain = _measured(path, about, partial(measure or speedup, model, shape))
        except OSError as error:
            return Decision(
                "fp32",
                f"precision=auto took fp32: {path} cannot be written ({error.strerror}), where "
                "it keeps whether bf16 is faster; set MU_CACHE, or give precision=bf16",
            )
    if gain < WORTH:
        return Decision("fp32")
    return Decision(
        "bf16",
        f"precision=auto took bf16, {gain:.2f} times as fast as fp32 on this processor "
        f"({processor}); precision=fp32 gives the results of others",
    )


def _about(model: nn.Module, shape: Shape, processor: Processor) -> dict[str, Any]:
    """What the decision is about, JSON-ready."""
    layers = {name: list(value.shape) for name, value in model.state_dict().items()}
    return {
        "processor": str(processor),
        "torch": torch.__version__,
        "network": digest_of([repr(model), layers])[:16],
        "shape": list(shape),
        "threads": torch.get_num_threads(),
    }


def _kept(path: Path, about: Mapping[str, Any]) -> float | None:
    """What was measured before; None where nothing is kept that can be read."""
    try:
        document = read_json(path.read_bytes())
    except (OSError, ValueError):
        return None
    if not isinstance(document, dict) or document.get("about") != about:
        return None
    gain = document.get("speedup")
    return float(gain) if isinstance(gain, int | float) and gain >= 0 else None


def _measured(path: Path, about: Mapping[str, Any], measure: Callable[[], float]) -> float:
    """What this process measures and keeps, or another one meanwhile has; OSError if it can not."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_suffix(".lock")):
        if (gain := _kept(path, about)) is None:
            gain = round(measure(), 3)
            text = json.dumps({"about": about, "speedup": gain}, indent=1)

            def write(file: BinaryIO) -> None:
                file.write(text.encode())

            write_cached(path, write)
    return gain


@dataclass(frozen=True)
class _Steps:
    """Forward and backward passes of a copy of a network, on one resident batch."""

    model: nn.Module
    images: torch.Tensor
    labels: torch.Tensor
    clock: Callable[[], float]

    def seconds(self, *, bf16: bool) -> float:
        """Of one step, without the optimizer's, which is in fp32 either way."""
        start = self.clock()
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            loss = F.cross_entropy(self.model(self.images), self.labels)
        torch.autograd.backward(loss)
        seconds = self.clock() - start
        self.model.zero_grad(set_to_none=True)
        return seconds


def speedup(
    model: nn.Module, shape: Shape, clock: Callable[[], float] = time.perf_counter
) -> float:
    """How many times as fast a step in bf16 is as one in fp32; 0.0 where it does not work in bf16.

    Both in turn, so that a machine whose speed drifts treats them alike; the median over rounds
    after one that warms up. Neither the network nor torch's generators are changed.
    """
    count = max(FEWEST, min(MOST, PIXELS // (shape[1] * shape[2])))
    draws = torch.Generator().manual_seed(0)
    images = torch.randn((count, *shape), generator=draws)
    images = images.contiguous(memory_format=torch.channels_last)
    probe = copy.deepcopy(model).cpu().train().requires_grad_(True)
    steps = _Steps(probe, images, torch.zeros(count, dtype=torch.long), clock)
    gains: list[float] = []
    begin = clock()
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        while len(gains) <= ROUNDS and (len(gains) < 2 or clock() - begin < SECONDS):
            plain = steps.seconds(bf16=False)
            try:
                gains.append(plain / steps.seconds(bf16=True))
            except (RuntimeError, TypeError):  # an operation that knows no bf16; fp32 has worked
                return 0.0
    return statistics.median(gains[1:])
