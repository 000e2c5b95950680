"""Threads that wait for the store, so that the work does not."""

from __future__ import annotations

import threading
from collections.abc import Callable

FIRST_PAUSE = 1.0  # seconds after a failure; twice as long after each further one
LONGEST_PAUSE = 60.0


class Sender:
    """Delivers what waits, again and again, and pauses after each failure.

    Parameters
    ----------
    deliver
        Delivers all that waits; raises what goes wrong, and is then called again later.
    failed
        Called with what went wrong.
    period
        Seconds between two calls; None: only when it is woken.
    """

    def __init__(
        self,
        deliver: Callable[[], None],
        failed: Callable[[Exception], None],
        period: float | None = None,
    ) -> None:
        self._deliver, self._failed, self._period = deliver, failed, period
        self._changed = threading.Condition()
        self._due = self._busy = self._ended = False
        threading.Thread(target=self._work, daemon=True).start()

    def wake(self) -> None:
        """Have it deliver now, or as soon as the pause after a failure is over."""
        self._change(due=True)

    def end(self) -> None:
        """Let it begin nothing more."""
        self._change(ended=True)

    def wait(self) -> None:
        """Wait until it delivers nothing; a signal interrupts that."""
        with self._changed:
            self._changed.wait_for(lambda: not self._busy and (self._ended or not self._due))

    def _change(self, **values: bool) -> None:
        with self._changed:
            for name, value in values.items():
                setattr(self, f"_{name}", value)
            self._changed.notify_all()

    def _work(self) -> None:
        pause = 0.0
        while self._begins(pause):
            try:
                self._deliver()
                pause = 0.0
            except Exception as error:
                self._failed(error)
                pause = min(LONGEST_PAUSE, 2 * pause or FIRST_PAUSE)
            self._change(busy=False, due=self._due or pause > 0)

    def _begins(self, pause: float) -> bool:
        """Wait until there is something to deliver; False at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, pause)
            self._changed.wait_for(lambda: self._ended or self._due, self._period)
            self._busy, self._due = not self._ended, False
            return self._busy


def within(seconds: float, call: Callable[[], None]) -> bool:
    """Whether the call ended in so many seconds, well or not; else it goes on in its thread."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
