"""The process group: joined once, left truthfully, and what its processes tell each other."""

from __future__ import annotations

import atexit
import json
import os
import socket
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from signal import SIGTERM
from typing import TYPE_CHECKING, TypeVar

import psutil

from mu.distributed.place import Place, is_running, place
from mu.errors import ProcessDiedError, UserError

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

# Torch is imported where there are other processes: commands that only look load it for nothing.

Value = TypeVar("Value")

# One rank waits for another while that one downloads, say, or stores what a run keeps.
TIMEOUT = timedelta(hours=2)
PATIENCE = 5.0  # seconds in which a rank that is gone shows itself, once a message has failed
LINGERING = 20.0  # seconds that a rank which failed waits for the first one to end its runs
GRACE = 30.0  # seconds from SIGTERM to the end, where the launcher is gone
LOST = ("onnection", "gloo", "NCCL")  # in what torch says of a rank that is gone

_KINDS = {"died": ProcessDiedError, "user": UserError}  # of errors, from the special one


class RankFailedError(RuntimeError):
    """A defect in another rank, which has printed its traceback."""


@dataclass
class _Group:
    """What this process knows of the others."""

    place: Place
    store: Store  # of the launcher: lives on when a rank dies
    # Machine, process number and start of each rank, in their order.
    processes: list[tuple[str, int, float]]
    asking: bool = False  # the first rank is in a call whose outcome the others wait for
    failed: bool = False

    def tell(self, what: str, text: str = "") -> None:
        """Leave word of this rank for the others; in vain where the launcher is gone."""
        with suppress(RuntimeError):
            self.store.set(f"{what}/{self.place.rank}", text)

    def told(self, what: str, rank: int) -> str | None:
        """What a rank left word of, if it did."""
        with suppress(RuntimeError):
            key = f"{what}/{rank}"
            return self.store.get(key).decode() if self.store.check([key]) else None
        return None

    def others(self) -> Iterator[int]:
        """Ranks but this one."""
        return (rank for rank in range(self.place.size) if rank != self.place.rank)

    def failure(self) -> Exception | None:
        """What another rank failed by: its error, or its death; None where nothing is known."""
        for rank in self.others():
            if (text := self.told("failed", rank)) is not None:
                return _told_error(rank, self.place.size, *json.loads(text))
        for rank in self.others():
            if self._is_gone(rank) and self.told("stopped", rank) is None:
                return ProcessDiedError(
                    f"process {rank + 1} of {self.place.size} was ended from outside (memory may "
                    "have run out), so the work of all of them ended"
                )
        return None

    def has_ended(self, rank: int) -> bool:
        """Whether a rank is done: here when its process has ended, elsewhere when it said so.

        Its word alone is too early: a launcher that sees this process end before that one would
        end that one by a signal, and report it as killed.
        """
        if self.processes[rank][0] == socket.gethostname():
            return self._is_gone(rank)
        return self.told("ended", rank) is not None

    def _is_gone(self, rank: int) -> bool:
        """Whether a rank's process, on this machine, has ended."""
        host, number, start = self.processes[rank]
        return host == socket.gethostname() and not is_running(number, start)


_joined: _Group | None = None


def join() -> Place:
    """Be one of the processes that the launcher started, with a fair share of the machine.

    Done once; does nothing where this process is alone.
    """
    global _joined
    here = place()
    if here.size == 1 or _joined is not None:
        return here
    import torch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import PrefixStore
    from torch.distributed.rendezvous import rendezvous

    _share_machine(here)
    store, _, _ = next(rendezvous("env://", timeout=TIMEOUT))
    dist.init_process_group(
        "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo",
        store=store,
        rank=here.rank,
        world_size=here.size,
        timeout=TIMEOUT,
    )
    own = (socket.gethostname(), os.getpid(), psutil.Process().create_time())
    dist.all_gather_object(processes := [own] * here.size, own)
    _joined = _Group(here, PrefixStore("mu", store), processes)
    atexit.register(_end, _joined)
    return here


def _share_machine(here: Place) -> None:
    if sys.platform == "linux" and here.one_machine:  # whatever its name resolves to
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    # Of convolutions with channels last: a copy of a gradient that costs next to nothing.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    threading.Thread(target=_end_with_launcher, args=(os.getppid(),), daemon=True).start()


def _end_with_launcher(launcher: int) -> None:
    """End this process when the launcher dies, whatever it is at."""
    while os.getppid() == launcher:
        time.sleep(0.5)
    os.kill(os.getpid(), SIGTERM)
    time.sleep(GRACE)
    os._exit(1)  # it waits in a library, which heeds no signal


def from_first(call: Callable[[], Value]) -> Value:
    """What ``call`` gives in the first rank, in all of them; so they never disagree.

    Called by all ranks, in the same order; for what reads something that changes: a store, say.
    What it raises is raised in all of them.
    """
    here = join()
    group = _joined
    if group is None or group.asking:
        return call()
    if not here.is_first:
        return _received()
    group.asking = True
    try:
        value = call()
    except Exception as error:
        _sent(None, error if isinstance(error, UserError) else RankFailedError(repr(error)))
        raise
    finally:
        group.asking = False
    _sent(value, None)
    return value


def _sent(value: object, error: Exception | None) -> None:
    import torch.distributed as dist

    with explained():
        dist.broadcast_object_list([value, error], src=0)


def _received() -> Value:  # type: ignore[type-var]
    import torch.distributed as dist

    with explained():
        dist.broadcast_object_list(found := [None, None], src=0)
    value, error = found
    if error is not None:
        raise error
    return value  # type: ignore[return-value]


# --- ranks that fail ----------------------------------------------------------------------


@contextmanager
def explained() -> Iterator[None]:
    """Messages to other ranks: where one fails, the error says what became of the other rank.

    That is the other rank's own UserError, ProcessDiedError where it died, and RankFailedError
    where it raised anything else.
    """
    try:
        yield
    except RuntimeError as error:  # torch has no other kind for it
        if (why := _why(error)) is None:
            raise
        raise why from error


def _why(error: RuntimeError) -> Exception | None:
    if _joined is None:
        return None
    import torch

    if isinstance(error, RankFailedError | torch.OutOfMemoryError):
        return None
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if (found := _joined.failure()) is not None:
            return found
        time.sleep(0.05)
    if not any(word in str(error) for word in LOST):
        return None  # a defect of this rank, not of a message
    reason = str(error).splitlines()[0]
    return ProcessDiedError(f"another process of the work was lost ({reason})")


def other_failed() -> Exception | None:
    """What another rank failed by, where that is known by now.

    A launcher that ends all ranks because of one sends them SIGTERM, as a user does.
    """
    return None if _joined is None else _joined.failure()


def stopped_by_signal() -> None:
    """Leave word that a signal ends this rank, so it is not taken for the cause of a failure."""
    if _joined is not None:
        _joined.tell("stopped")


def failed(error: BaseException) -> None:
    """Tell the others what ends this rank, and leave them, so that none waits for it.

    The process then does not end before the first rank has: its leaving would have the launcher
    end that one before it could say why.
    """
    if _joined is None or not isinstance(error, Exception):  # a signal
        return
    kind = next((one for one, kinds in _KINDS.items() if isinstance(error, kinds)), "defect")
    text = f"{type(error).__name__}: {error}" if kind == "defect" else str(error)
    _joined.failed = True
    _joined.tell("failed", json.dumps([kind, text]))
    leave()


def leave() -> None:
    """Close all connections to other ranks."""
    import torch.distributed as dist

    if dist.is_initialized():
        dist.destroy_process_group()


def _told_error(rank: int, size: int, kind: str, text: str) -> Exception:
    if kind in _KINDS:
        return _KINDS[kind](text)
    return RankFailedError(f"process {rank + 1} of {size} failed: {text}")


def _end(group: _Group) -> None:
    if group.place.is_first:
        group.tell("ended")
    elif group.failed:
        end = time.monotonic() + LINGERING
        while not group.has_ended(0) and time.monotonic() < end:
            time.sleep(0.05)
    leave()
