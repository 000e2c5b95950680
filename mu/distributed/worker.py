"""One rank: what a process of a team does."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import shutil
import signal
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import torch
import torch.distributed as dist

from mu.distributed.messages import forget_but, from_bytes, send
from mu.distributed.ranks import Ranks
from mu.errors import UserError
from mu.runs import Run, RunState

if TYPE_CHECKING:
    from mu.training.progress import Progress

Tell = Callable[..., None]

SECONDS_BETWEEN_ADVANCES = 0.2


class Seat(NamedTuple):
    """Where a rank sits.

    Parameters
    ----------
    meeting
        A file by which the ranks find each other.
    pipe
        To the process that started them.
    modules
        What will be needed, loaded before the work begins.
    """

    ranks: Ranks
    meeting: str
    pipe: Connection
    modules: Sequence[str] = ()


@dataclass(frozen=True)
class Call:
    """What all ranks are to do.

    Parameters
    ----------
    verb, arguments
        A function of a module, and what it is called with beside ``run`` and ``keeper``.
    state
        Of the run.
    before, keeps
        What the keeper holds, and whether there is one.
    """

    verb: Callable[..., Any]
    arguments: Mapping[str, Any]
    state: RunState
    before: Progress | None
    keeps: bool


@dataclass(frozen=True)
class Ready:
    """That a rank has joined the others."""


@dataclass(frozen=True)
class Answer:
    """That a rank is done; only the first one's has a result."""

    result: Any
    state: RunState
    peak_mb: float


@dataclass(frozen=True)
class Failure:
    """That a rank has failed."""

    rank: int
    error: BaseException | None
    text: str


def work(rank: int, seats: Sequence[Seat]) -> None:
    """What the process of a rank does from its beginning to its end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that started this one decides
    seat = seats[rank]
    for other in seats:
        if other is not seat:
            other.pipe.close()
    _end_with_the_parent(Path(seat.meeting).parent)
    try:
        for name in seat.modules:
            importlib.import_module(name)
        with _joined(seat):
            send(seat.pipe, Ready())
            _answer_calls(seat)
    except Exception as error:  # it could not join
        _tell_failure(seat, error)


def _end_with_the_parent(folder: Path) -> None:
    """Leave when the process that started this one dies, whatever this one is at.

    Its ``folder`` is removed, since nobody else is left to do that.
    """
    parent = multiprocessing.parent_process()
    assert parent is not None
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def _joined(seat: Seat) -> Iterator[None]:
    """Be one of the ranks, with a fair share of the machine."""
    ranks = seat.ranks
    on_cuda = ranks.device == "cuda"
    if "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(max(1, torch.get_num_threads() // ranks.size))
    if sys.platform == "linux":  # all ranks are on this machine, whatever its name resolves to
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    if on_cuda:
        torch.cuda.set_device(ranks.rank)
    # Of convolutions with channels last: a copy of a gradient that costs next to nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    dist.init_process_group(
        "nccl" if on_cuda else "gloo",
        init_method=f"file://{seat.meeting}",
        rank=ranks.rank,
        world_size=ranks.size,
    )
    try:
        yield
    finally:
        dist.destroy_process_group()


def _answer_calls(seat: Seat) -> None:
    while True:
        try:
            content, held = seat.pipe.recv_bytes(), seat.pipe.recv_bytes()
        except EOFError:  # the one who asks is gone
            os._exit(1)
        try:
            call = from_bytes(content)
            forget_but(from_bytes(held))
            answer = _answer(call, seat)
            send(seat.pipe, answer)
        except Exception as error:
            _tell_failure(seat, error)  # before the others hear of it by its leaving
        del content, call, answer  # not held while this rank waits


def _answer(call: Call, seat: Seat) -> Answer:
    leads = seat.ranks.rank == 0
    run = RankRun(call.state, seat, partial(_say, seat.pipe) if leads else _silent)
    keeper = {"keeper": _RelayedKeeper(call.before, run.tell)} if call.keeps else {}
    with run.stopwatch():
        result = call.verb(**call.arguments, run=run, **keeper)
    return Answer(result if leads else None, run.state(), run.peak_memory_mb())


class RankRun(Run):
    """The run of a rank: what it would log and show, it tells the process that started it.

    Parameters
    ----------
    tell
        Called with the name of what is to be done there, and its details.
    """

    def __init__(self, state: RunState, seat: Seat, tell: Tell) -> None:
        super().__init__(
            device=f"cuda:{seat.ranks.rank}" if seat.ranks.device == "cuda" else "cpu",
            seed=state.seed,
            precision=state.precision,
            sink=lambda values, step: tell("log", dict(values), step),
            show_progress=False,
        )
        self.ranks, self.sync_bn, self.tell = seat.ranks, state.sync_bn, tell
        self.records, self.notes = list(state.records), list(state.notes)
        self.samples_seen, self.seconds_before = state.samples_seen, state.seconds_before

    @contextmanager
    def progress(self, label: str, total: int) -> Iterator[Callable[[int, str], None]]:
        """See :meth:`mu.runs.Run.progress`."""
        self.tell("begin", label, total)
        with _Advance(self.tell) as advance:
            yield advance
        self.tell("end")


def _say(pipe: Connection, *message: Any) -> None:
    send(pipe, message)


def _silent(*_: Any) -> None:
    """Say nothing."""


class _Advance:
    """Moves a bar elsewhere, not more often than eyes can follow."""

    def __init__(self, tell: Tell) -> None:
        self._tell, self._samples, self._note, self._told = tell, 0, "", 0.0

    def __call__(self, samples: int, note: str) -> None:
        self._samples, self._note = self._samples + samples, note
        if time.monotonic() - self._told > SECONDS_BETWEEN_ADVANCES:
            self._say()

    def _say(self) -> None:
        self._tell("advance", self._samples, self._note)
        self._samples, self._told = 0, time.monotonic()

    def __enter__(self) -> _Advance:
        return self

    def __exit__(self, *_: object) -> None:
        self._say()


class _RelayedKeeper:
    """Has progress kept by the process that started the ranks."""

    def __init__(self, before: Progress | None, tell: Tell) -> None:
        self._before, self._tell = before, tell

    def last(self) -> Progress | None:
        """See :meth:`mu.training.progress.Keeper.last`."""
        return self._before

    def save(self, progress: Progress) -> None:
        """See :meth:`mu.training.progress.Keeper.save`."""
        self._tell("save", progress)


def _tell_failure(seat: Seat, error: BaseException) -> NoReturn:
    """Say what went wrong, and wait to be ended: leaving would look like the cause of it all."""
    known = error if isinstance(error, UserError) else None
    failure = Failure(seat.ranks.rank, known, "".join(traceback.format_exception(error)))
    try:
        send(seat.pipe, failure)
    except OSError:  # the one who asks is gone
        os._exit(1)
    threading.Event().wait()
    raise AssertionError("ranks that failed are ended")
