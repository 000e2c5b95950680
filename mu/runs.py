"""Run: where a piece of work happens and where its numbers go. Works without MLflow."""

from __future__ import annotations

import copy
import hashlib
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from typing import NamedTuple

import torch
from torch import nn

from mu import memory
from mu.devices import check_devices, check_ranks, pick_device
from mu.distributed.group import from_first
from mu.distributed.place import place
from mu.distributed.ranks import Ranks
from mu.errors import UserError
from mu.precision import decide
from mu.processor import Processor
from mu.progress_bars import Advance, bar, lines
from mu.threads import compute_with, suited

Sink = Callable[[Mapping[str, float], int | None], None]
PRECISIONS = ("auto", "fp32", "bf16")


class Record(NamedTuple):
    """One logged number."""

    name: str
    value: float
    step: int | None


class Run:
    """Device, seed and log of one piece of work.

    On CUDA it has cuDNN use deterministic algorithms from then on, in the whole process: with the
    others, the same seed ended up 40 % of the weights' norm away (``benchmarks/results``).

    Parameters
    ----------
    device
        ``auto`` (CUDA where there is one, else the CPU) or a name that torch knows.
    seed
        Of this step's own randomness.
    precision
        ``fp32``, ``bf16`` (autocast), or ``auto``: bf16 on CUDA; on the CPU what is faster for the
        first network that is placed, see :mod:`mu.precision`.
    devices
        How many processes do the work together, each with a GPU of its own or its part of the CPU;
        by default as many as torch's launcher started. See :mod:`mu.distributed`.
    threads
        With how many threads torch computes on the CPU, in each process; by default one for small
        networks, and the cores for others. See :mod:`mu.threads`.
    sync_bn
        Whether batch normalisation takes its statistics over the batches of all devices, on CUDA.
    sink
        Called with every batch of numbers and their step; MLflow's recorder is one.
    show_progress
        Whether long work draws progress bars. By default it does where the output is a terminal,
        and elsewhere prints a line now and then; of several processes the first one does.

    Attributes
    ----------
    ranks
        This process's place among those that do the work of the run together.
    precision
        The one in force: with ``auto`` on the CPU that is known once a network is placed.

    Raises
    ------
    UserError
        If there are no such devices on this machine, or this is not one of that many processes.
    """

    def __init__(
        self,
        *,
        device: str = "auto",
        seed: int = 0,
        precision: str = "auto",
        devices: int = 1,
        threads: int | None = None,
        sync_bn: bool = False,
        sink: Sink | None = None,
        show_progress: bool | None = None,
    ) -> None:
        check_ranks(devices)
        check_devices(device, place().local_size, sync_bn)
        self.device = pick_device(device)
        if self.device.type == "cuda":
            torch.backends.cudnn.deterministic = True
        self.ranks = Ranks.of(self.device.type)
        if self.ranks.size > 1 and self.device.type == "cuda":
            self.device = torch.device("cuda", self.ranks.local_rank)
            torch.cuda.set_device(self.device)
        self.devices, self.sync_bn = self.ranks.size, sync_bn
        self.seed = seed
        if precision not in PRECISIONS:
            raise UserError(f"precision={precision!r}: give one of {', '.join(PRECISIONS)}")
        on_cuda = precision == "auto" and self.device.type == "cuda"
        self.precision = "bf16" if on_cuda else precision
        self._threads = threads
        self._sink = sink
        wanted = sys.stderr.isatty() if show_progress is None else show_progress
        self._draws_bars = wanted and self.ranks.rank == 0
        self._prints_lines = show_progress is None and not wanted and self.ranks.rank == 0
        self.records: list[Record] = []
        self.notes: list[str] = []
        self.samples_seen = 0
        self.seconds_before = 0.0  # spent on this work by processes before this one
        self._untimed = 0.0

    def go_on(
        self, records: Sequence[Record], notes: Sequence[str], samples_seen: int, seconds: float
    ) -> None:
        """Take over what an interrupted process had logged and spent; sinks hear it again.

        What this process has logged or noted already, as it began, is not repeated.
        """
        logged = {(record.name, record.step) for record in self.records}
        for record in records:
            if (record.name, record.step) not in logged:
                self.log(record.name, record.value, record.step)
        self.notes += [note for note in notes if note not in self.notes]
        self.samples_seen = samples_seen  # what led here was counted by that process
        self.seconds_before = seconds

    def apart(self) -> Run:
        """The same place and seed for a part of the work, with a log of its own, without a sink."""
        part = copy.copy(self)
        part.records, part.notes, part._sink, part.samples_seen = [], [], None, 0
        return part

    # --- numbers --------------------------------------------------------------------------

    def log(self, name: str, value: float, step: int | None = None) -> None:
        """Log one number."""
        self.log_all({name: value}, step)

    def log_all(self, values: Mapping[str, float], step: int | None = None) -> None:
        """Log several numbers that belong together."""
        self.records += [Record(name, float(value), step) for name, value in values.items()]
        if self._sink is not None:
            self._sink(values, step)

    @property
    def metrics(self) -> dict[str, float]:
        """The last value of every name."""
        return {record.name: record.value for record in self.records}

    def history(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every number of that name that has a step."""
        return [(r.step, r.value) for r in self.records if r.name == name and r.step is not None]

    def note(self, text: str) -> None:
        """Keep a remark that the user should read at the end."""
        self.notes.append(text)

    # --- randomness -----------------------------------------------------------------------

    def generator(self, purpose: str) -> torch.Generator:
        """A CPU generator of its own for each purpose, so that none disturbs another."""
        return generator(self.seed, purpose)

    # --- device ---------------------------------------------------------------------------

    def place(self, model: nn.Module, shape: tuple[int, int, int] | None = None) -> nn.Module:
        """Move ``model`` to the device, in place, with channels last.

        That memory format is what convolutions are fastest in, on CPUs too (a quarter faster
        for a ResNet-14); values and shapes are the same. From then on torch computes with the
        number of threads that suits the network and images of ``shape`` (channels, height, width);
        where that is not given, with as many as before. The first network that is placed with a
        shape settles a precision that was left open; the first rank decides for all.
        """
        if shape is not None:
            compute_with(self._threads or suited(model, shape))
        model.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        if shape is not None and self.precision == "auto":
            with self.untimed():
                self.precision, note = from_first(partial(decide, model, shape))
            if note:
                self.note(note)
        return model

    @property
    def bf16(self) -> bool:
        """Whether forward passes are in bf16."""
        return self.precision == "bf16"

    @property
    def processor(self) -> str:
        """The kind of processor that computes; another one rounds otherwise."""
        return str(Processor.of(self.device))

    @property
    def threads(self) -> int:
        """With how many threads torch computes on the CPU now."""
        return torch.get_num_threads()

    def autocast(self) -> AbstractContextManager[None]:
        """The context of forward passes: bf16 where this run uses it."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16)

    def synchronize(self) -> None:
        """Wait for the device, so that a clock can be read."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def clock(self) -> float:
        """Seconds from some moment on, without those of :meth:`untimed` blocks."""
        return time.perf_counter() - self._untimed

    @contextmanager
    def untimed(self) -> Iterator[None]:
        """A block that is no part of the work: the clock stands still in it."""
        self.synchronize()  # what the device is still at is work
        start = time.perf_counter()
        try:
            yield
        finally:
            self._untimed += time.perf_counter() - start

    @contextmanager
    def stopwatch(self) -> Iterator[list[float]]:
        """A list that holds the seconds of work, by :meth:`clock`, once the block is left.

        The mark of the highest memory use is reset, too: both are the costs of the block.
        """
        seconds: list[float] = []
        memory.reset_peak(self.device)
        self.synchronize()
        start = self.clock()
        yield seconds
        self.synchronize()
        seconds.append(self.clock() - start)

    def peak_memory_mb(self) -> float:
        """Highest memory use of this process since the last stopwatch started, MiB.

        See :mod:`mu.memory`.
        """
        return memory.peak_mb(self.device)

    # --- progress -------------------------------------------------------------------------

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Advance]:
        """A bar with its rate in images a second; call what it yields with (samples, note).

        Off a terminal, a line every half minute; silent where progress is not wanted.
        """
        if self._draws_bars:
            with bar(label, total) as advance:
                yield advance
        elif self._prints_lines:
            yield lines(label, total)
        else:
            yield lambda _samples, _note: None


def generator(seed: int, purpose: str) -> torch.Generator:
    """A CPU generator for one purpose: seeded by the seed and the purpose's name."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "little") >> 1)


@contextmanager
def seeded(seed: int, purpose: str, device: torch.device) -> Iterator[None]:
    """Torch's global generators, seeded for one purpose in the block and put back after it.

    For what draws from them by itself: dropout, stochastic depth, initial weights.
    """
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        number = generator(seed, purpose).initial_seed()
        # torch.manual_seed without CUDA would note the whole stack each time, for when CUDA comes.
        torch.default_generator.manual_seed(number)
        if devices:
            torch.cuda.manual_seed_all(number)
        yield
