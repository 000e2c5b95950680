"""Starting this program, or a function, several times by torch's elastic launcher."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import psutil
from torch.distributed.elastic.multiprocessing import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from mu.distributed.group import failed, join, leave
from mu.distributed.place import be_silent
from mu.errors import ProcessDiedError

MISTAKE = 2  # the exit status of a user's mistake
_SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")


class RanksFailedError(ProcessDiedError):
    """Ranks ended badly.

    ``status``: exit status for the program that started them. ``processes``: their process numbers:
    what they had open may still be to be closed. ``reason``: in one line; None where the first rank
    has ended by itself, and printed why. ``stopped``: whether a signal to this process ended them.
    """

    def __init__(
        self, status: int, processes: set[int], reason: str | None, *, stopped: bool = False
    ) -> None:
        super().__init__(reason or "its processes failed; see above")
        self.status, self.processes, self.reason = status, processes, reason
        self.stopped = stopped


def program(arguments: Sequence[str], devices: int) -> None:
    """Run this program ``devices`` times, with these arguments.

    RanksFailedError if one of them fails.
    """
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    what = [sys.argv[0]] if spec is None else ["-m", spec.name]
    _launch(sys.executable, [*what, *arguments], devices)


def call(function: Callable[[Any], Any], argument: Any, devices: int) -> Any:
    """What ``function(argument)`` gives in the first of so many processes.

    RanksFailedError if a process fails. ``function``: of a module; what goes wrong in it is best
    returned, since an exception ends all ranks. ``argument``: something that can be pickled; so
    must the result be.
    """
    return _launch(_called, [function, argument], devices)[0]


def _called(function: Callable[[Any], Any], argument: Any) -> Any:
    if not join().is_first:
        be_silent()
        os.environ.pop("MLFLOW_RUN_ID", None)
    try:
        return function(argument)
    except BaseException as error:
        failed(error)
        raise
    finally:
        leave()  # no rank waits for one that is done


def _launch(what: str | Callable[..., Any], arguments: Sequence[Any], devices: int) -> Any:
    for name in logging.root.manager.loggerDict:
        if name.startswith("torch.distributed.elastic"):
            logging.getLogger(name).setLevel(logging.CRITICAL)  # what happened is said in a line
    heeded = [one for one in _SIGNALS if signal.getsignal(getattr(signal, one)) != signal.SIG_IGN]
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=devices,
        run_id=str(uuid.uuid4()),
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        local_addr="localhost",
        max_restarts=0,
        signals_to_handle=",".join(heeded),
    )
    with _signals_put_back(heeded), _children(devices) as found:
        try:
            return elastic_launch(config, what)(*arguments)
        except ChildFailedError as error:
            status, reason = _how(error.failures, devices)
            raise RanksFailedError(status, found, reason) from error
        except SignalException as error:
            name = error.sigval.name
            raise RanksFailedError(
                128 + error.sigval, found, f"stopped by {name}", stopped=True
            ) from error


@contextmanager
def _signals_put_back(names: Sequence[str]) -> Iterator[None]:
    """The launcher leaves its handlers behind."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {name: signal.getsignal(getattr(signal, name)) for name in names}
    try:
        yield
    finally:
        for name, handler in before.items():
            signal.signal(getattr(signal, name), handler)


@contextmanager
def _children(count: int) -> Iterator[set[int]]:
    """The numbers of the processes that are started in the block; the launcher keeps them."""
    this, found, ended = psutil.Process(), set[int](), threading.Event()
    before = {one.pid for one in this.children()}

    def watch() -> None:
        while len(found) < count and not ended.wait(0.2):
            found.update({one.pid for one in this.children()} - before)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        ended.set()
        thread.join()


def _how(failures: Mapping[int, ProcessFailure], size: int) -> tuple[int, str | None]:
    """The exit status that ranks which failed mean, and what is still to be said of them."""
    codes = {rank: one.exitcode for rank, one in failures.items()}
    if codes.get(0) == MISTAKE:
        return MISTAKE, None
    # The launcher ends those that are left by SIGTERM, and by SIGKILL if that does not help.
    first = next(iter(codes))
    who, end = f"process {first + 1} of {size}", ", so the work of all of them ended"
    if codes[first] < 0:
        name = signal.Signals(-codes[first]).name
        hint = " (memory may have run out)" if name == "SIGKILL" else ""
        return MISTAKE, f"{who} was ended by {name}{hint}{end}"
    return codes[first], f"{who} failed{end}" if codes.get(0, 0) < 0 else None
