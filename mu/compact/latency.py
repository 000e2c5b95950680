"""How long a pass takes: warm, several networks in turn in one process, median and quartiles.

With one thread its processor time is measured, so that other programs on the machine count less;
with several the clock on the wall.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

WARM, LEAST, MOST = 2, 7, 100  # rounds that are not counted; that are, at least and at most
SECONDS = 1.0  # for each network: no further round begins then
MILLISECONDS = 1e3
Clock = Callable[[], float]


class Latency(NamedTuple):
    """Of a pass, in milliseconds."""

    median: float
    low: float  # the quartiles
    high: float

    def __str__(self) -> str:
        return f"{self.median:.2f} ms ({self.low:.2f} to {self.high:.2f})"


def latencies(
    networks: Mapping[str, Callable[[Tensor], Any]],
    images: Tensor,
    threads: int,
    seconds: float = SECONDS,
) -> dict[str, Latency]:
    """The latency of each network on these images; each round has a pass of all of them."""
    found: dict[str, list[float]] = {name: [] for name in networks}
    clock = _clock(threads)

    def in_turn() -> None:
        for name, network in networks.items():
            before = clock()
            network(images)
            found[name].append(clock() - before)

    _rounds(in_turn, threads, seconds * len(networks))
    return {name: _summary(times[WARM:]) for name, times in found.items()}


def layer_latencies(
    networks: Mapping[str, nn.Module],
    layers: Sequence[str],
    images: Tensor,
    threads: int,
    seconds: float = SECONDS,
) -> dict[str, dict[str, Latency]]:
    """Of each network the latency of these layers, in passes of the whole network.

    A layer that is timed on its own would find its weights and its input in the fastest cache.
    """
    found: dict[str, dict[str, list[float]]] = {
        name: {layer: [] for layer in layers} for name in networks
    }
    with contextlib.ExitStack() as stack:
        for name, network in networks.items():
            for layer, times in found[name].items():
                timed = _timed(network.get_submodule(layer), times, _clock(threads))
                stack.enter_context(timed)

        def in_turn() -> None:
            for network in networks.values():
                network(images)

        _rounds(in_turn, threads, seconds * len(networks))
    return {
        name: {layer: _summary(times[WARM:]) for layer, times in of.items()}
        for name, of in found.items()
    }


@contextlib.contextmanager
def _timed(layer: nn.Module, times: list[float], clock: Clock) -> Iterator[None]:
    """Note how long each call of a layer takes."""
    begun = [0.0]

    def before(*_: Any) -> None:
        begun[0] = clock()

    def after(*_: Any) -> None:
        times.append(clock() - begun[0])

    hooks = [layer.register_forward_pre_hook(before), layer.register_forward_hook(after)]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _rounds(in_turn: Callable[[], None], threads: int, seconds: float) -> None:
    with computing_with(threads), torch.inference_mode():
        for _ in range(WARM):
            in_turn()
        begun, done = time.perf_counter(), 0
        while done < LEAST or (done < MOST and time.perf_counter() - begun < seconds):
            in_turn()
            done += 1


@contextlib.contextmanager
def computing_with(threads: int) -> Iterator[None]:
    """Have torch compute with so many threads, and afterwards as before."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _clock(threads: int) -> Clock:
    return time.thread_time if threads == 1 else time.perf_counter


def _summary(times: Sequence[float]) -> Latency:
    low, median, high = statistics.quantiles(times, n=4, method="inclusive")
    return Latency(*(MILLISECONDS * one for one in (median, low, high)))
