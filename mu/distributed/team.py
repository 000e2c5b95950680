"""A team: the processes that this one starts, hands work to, and watches."""

from __future__ import annotations

import atexit
import contextlib
import multiprocessing
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch.multiprocessing import spawn  # type: ignore[attr-defined]

from mu.distributed.messages import Copying, receive, send
from mu.distributed.ranks import Ranks
from mu.distributed.worker import Answer, Call, Failure, Ready, Seat, work
from mu.errors import ProcessDiedError, UserError

if TYPE_CHECKING:
    from mu.runs import Run
    from mu.training.progress import Keeper

PATIENCE = 5.0  # seconds in which a rank that died shows itself, once another has failed

_TEAMS: dict[tuple[str, int], Team] = {}

AS_IT_STARTED = (
    "it had not begun: a script of your own must do its work below "
    'if __name__ == "__main__":, since its processes read it again'
)


class RankFailedError(RuntimeError):
    """A defect: a rank raised what no user can mend. The message is its traceback."""


def team_of(run: Run) -> Team:
    """The team of a run's devices; it is started once and lives as long as this process."""
    key = (run.device.type, run.devices)
    if key not in _TEAMS:
        _TEAMS[key] = Team(run.device, run.devices)
    return _TEAMS[key]


@atexit.register
def end_teams() -> None:
    """End the processes of all teams."""
    while _TEAMS:
        _TEAMS.popitem()[1].end()


class Team:
    """Processes, a rank each, that do the same work on samples of their own.

    Parameters
    ----------
    device
        Its kind is what matters: of CUDA, each rank takes the device of its own number.
    size
        How many.
    """

    def __init__(self, device: torch.device, size: int) -> None:
        _check_main(size)
        self._size, self._copying = size, Copying()
        self._folder = Path(tempfile.mkdtemp(prefix="mu-team-"))
        self._pipes: list[Connection] = []
        self._processes: list[BaseProcess] = []
        others = multiprocessing.active_children()
        try:
            self._start(device)
            for _ in self._messages(Ready):
                raise AssertionError("ranks that join have nothing else to say")
        except BaseException as error:
            gave_up = any(one.exitcode == 1 for one in self._processes)
            # Whatever was started, even if an interruption came between one process and the next.
            started = multiprocessing.active_children()
            self._processes = [one for one in started if one not in others]
            self.end()
            if isinstance(error, ProcessDiedError) and gave_up:
                raise ProcessDiedError(f"{error}; {AS_IT_STARTED}") from error
            raise

    def _start(self, device: torch.device) -> None:
        meeting = str(self._folder / "meeting")
        ends = [multiprocessing.Pipe() for _ in range(self._size)]
        self._pipes = [ours for ours, _ in ends]
        seats = [
            Seat(Ranks(rank, self._size, device.type), meeting, theirs, _library())
            for rank, (_, theirs) in enumerate(ends)
        ]
        # Not forked from this process: it has threads, whose locks would be copied.
        context = spawn(work, (seats,), nprocs=self._size, join=False)  # type: ignore[no-untyped-call]
        self._processes = context.processes
        for _, theirs in ends:
            theirs.close()  # so that each end closes with its process

    def call(
        self,
        verb: Callable[..., Any],
        arguments: Mapping[str, Any],
        run: Run,
        keeper: Keeper | None,
    ) -> Any:
        """Have every rank call ``verb``, and give the first one's result.

        Raises
        ------
        UserError
            What the verb raised; or, if a rank died, which one and how.
        RankFailedError
            If a rank raised anything else.
        """
        call = Call(
            verb,
            arguments,
            run.state(),
            before=None if keeper is None else keeper.last(),
            keeps=keeper is not None,
        )
        try:
            content, held = self._copying.of(call), self._copying.held()
            for rank, pipe in enumerate(self._pipes):
                self._send(rank, pipe, content, held)
            answer = self._listen(run, keeper)
        except BaseException:
            self.end()  # a rank may wait for one that no longer comes
            raise
        run.catch_up(answer.state, answer.peak_mb)
        return answer.result

    def _send(self, rank: int, pipe: Connection, content: bytes, held: list[int]) -> None:
        try:
            pipe.send_bytes(content)
            send(pipe, held)
        except OSError as error:
            raise self._failed(rank) from error

    def _listen(self, run: Run, keeper: Keeper | None) -> Answer:
        """Pass on what the first rank says until all have answered; its answer."""
        with contextlib.closing(_Heard(run, keeper)) as heard:
            for message in self._messages(Answer):
                if isinstance(message, Answer):
                    found = message
                else:
                    heard.hear(*message)
        return found

    def _messages(self, last: type) -> Iterator[Any]:
        """What ranks say, until each has said something of the kind ``last``.

        Of that kind, only what the first rank says is given.

        Raises
        ------
        UserError, RankFailedError
            If one fails or dies.
        """
        waiting = dict(enumerate(self._pipes))
        while waiting:
            # A pipe is ready, too, when the process at its other end has died.
            for pipe in wait(list(waiting.values())):
                assert isinstance(pipe, Connection)
                rank = self._pipes.index(pipe)
                try:
                    message = receive(pipe)
                except (EOFError, OSError) as error:
                    raise self._failed(rank) from error
                if isinstance(message, Failure):
                    raise self._explained(message)
                if isinstance(message, last):
                    del waiting[rank]
                if not isinstance(message, last) or (rank == 0 and last is Answer):
                    yield message

    def _explained(self, failure: Failure) -> Exception:
        """Why a rank failed: perhaps because another one died while it waited for it."""
        if isinstance(failure.error, UserError):
            return failure.error
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            for rank, process in enumerate(self._processes):
                if not process.is_alive():
                    return self._failed(rank)
            time.sleep(0.1)
        return RankFailedError(f"process {failure.rank + 1} of {self._size}:\n{failure.text}")

    def _failed(self, rank: int) -> ProcessDiedError:
        process = self._processes[rank]
        process.join(PATIENCE)
        how = _how(process.exitcode)
        return ProcessDiedError(
            f"process {rank + 1} of {self._size} {how}, so the work of all of them ended"
        )

    def end(self) -> None:
        """End the processes, whatever they are at, and forget them."""
        for key in [key for key, team in _TEAMS.items() if team is self]:
            del _TEAMS[key]
        for process in self._processes:
            process.kill()  # one that waits in a library heeds nothing else
        for process in self._processes:
            process.join()
        for pipe in self._pipes:
            pipe.close()
        shutil.rmtree(self._folder, ignore_errors=True)


def _check_main(size: int) -> None:
    """Refuse to start processes that could not read what this one runs.

    Raises
    ------
    UserError
        If this process is one that is being started itself, or its program is no file.
    """
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise UserError(
            "this script is read again by the processes that it starts; put its work below "
            'if __name__ == "__main__":'
        )
    place = getattr(sys.modules["__main__"], "__file__", None)
    if place is not None and not Path(place).exists():
        raise UserError(
            f"devices={size}: other processes cannot read {place!r} again; write the program to a "
            "file, or give it to python -c"
        )


def _library() -> list[str]:
    """What this process has loaded of mu's library; ranks know neither MLflow nor a command line.

    Loading it takes seconds, which are then no part of the first work's time.
    """
    on_top = ("mu.tracking", "mu.cli", "mu.report")
    return [one for one in sys.modules if one.startswith("mu.") and not one.startswith(on_top)]


def _how(status: int | None) -> str:
    """How a process ended, in words."""
    if status is None:
        return "no longer answers"
    if status >= 0:
        return f"ended with status {status}"
    name = signal.Signals(-status).name
    hint = " (memory may have run out)" if name == "SIGKILL" else ""
    return f"was ended by {name}{hint}"


class _Heard:
    """Does here what the first rank says it would do."""

    def __init__(self, run: Run, keeper: Keeper | None) -> None:
        self._run, self._keeper = run, keeper
        self._bars: list[tuple[contextlib.ExitStack, Callable[[int, str], None]]] = []

    def hear(self, what: str, *details: Any) -> None:
        """Log numbers, keep progress, or move a bar."""
        getattr(self, f"_{what}")(*details)

    def _log(self, values: Mapping[str, float], step: int | None) -> None:
        self._run.log_all(values, step)

    def _save(self, progress: Any) -> None:
        assert self._keeper is not None
        self._keeper.save(progress)

    def _begin(self, label: str, total: int) -> None:
        stack = contextlib.ExitStack()
        self._bars.append((stack, stack.enter_context(self._run.progress(label, total))))

    def _advance(self, samples: int, note: str) -> None:
        self._bars[-1][1](samples, note)

    def _end(self) -> None:
        self._bars.pop()[0].close()

    def close(self) -> None:
        """End the bars that a failure has left."""
        while self._bars:
            self._end()
