"""SIGINT and SIGTERM as exceptions, but only where they can do no harm."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self, TypeVar

from mu.distributed.group import stopped_by_signal

SIGNALS = (signal.SIGINT, signal.SIGTERM)
CLOSING_SECONDS = 5.0  # that a store is waited for, once a signal has come
Value = TypeVar("Value")


class Stopped(BaseException):
    """The process was asked to end by a signal."""

    def __init__(self, number: int) -> None:
        super().__init__(signal.Signals(number).name)
        self.number = number


class Signals:
    """SIGINT and SIGTERM raise inside ``let_through``, and wait elsewhere in the block.

    So none comes between the opening of a run and the knowledge that it is open, and an impatient
    second one does not interrupt the closing. One that waited is raised at the end of the block,
    unless another exception ends it. A signal that the process ignores (``nohup``, a shell's
    background job) stays ignored.
    """

    def __init__(self) -> None:
        self._wait = True
        self._waiting: int | None = None
        self._came = 0.0  # when the first signal came
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():  # no other may set handlers
            for number in SIGNALS:
                if signal.getsignal(number) not in (None, signal.SIG_IGN):
                    self._before[number] = signal.signal(number, self._handle)
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._wait = True
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if kind is None:
            self._raise_waiting()

    @contextmanager
    def let_through(self) -> Iterator[None]:
        """Let signals raise in the block, the first one only."""
        self._wait = False
        try:
            self._raise_waiting()
            yield
        finally:
            self._wait = True

    def outlast(self, call: Callable[[], Value]) -> Value:
        """What a call to the store gives; a signal waits for its end, but only so long.

        Then it raises, and the call goes on in a thread of its own.
        """
        found: list[Value | BaseException] = []

        def work() -> None:
            try:
                found.append(call())
            except BaseException as error:
                found.append(error)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(0.2)
            late = self._waiting is not None and time.monotonic() > self._came + CLOSING_SECONDS
            if late and thread.is_alive():
                self._raise_waiting()
        (value,) = found
        if isinstance(value, BaseException):
            raise value
        return value

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        if self._waiting is None:
            self._came = time.monotonic()
        self._waiting = number
        stopped_by_signal()
        if not self._wait:
            self._raise_waiting()

    def _raise_waiting(self) -> None:
        number, self._waiting = self._waiting, None
        if number is not None:
            self._wait = True
            raise KeyboardInterrupt if number == signal.SIGINT else Stopped(number)
