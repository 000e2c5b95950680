"""Threads that wait for the store, so that the work does not, and files on their way to it."""

from __future__ import annotations

import shutil
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mu.tracking.run_files import RunFiles
from mu.training.progress import FOLDER, Progress, file_name, write_whole

FIRST_PAUSE = 1.0  # seconds after a failure; twice as long after each further one
LONGEST_PAUSE = 60.0


class Sender:
    """Delivers what waits, again and again, and pauses after each failure.

    ``deliver``: delivers all that waits; raises what goes wrong, and is then called again later.
    ``failed``: called with what went wrong. ``period``: seconds between two calls; None: only when
    it is woken.
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


class Outbox:
    """Delivers files in their order, then the newest progress; older progress is dropped.

    ``files``: where they go. ``folder``: of what is not delivered yet: a file lies there until it
    is. ``failed``: called with what went wrong; it is tried again later.
    """

    def __init__(self, files: RunFiles, folder: Path, failed: Callable[[Exception], None]) -> None:
        self._files, self._folder = files, folder
        self._waiting: deque[str] = deque()
        self._progress: tuple[Progress, bytes] | None = None
        self._sender = Sender(self._deliver, failed)

    def put(self, path: str, content: bytes) -> None:
        """Have a file put among the artifacts."""
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file, content)
        self._waiting.append(path)
        self._sender.wake()

    def put_progress(self, progress: Progress, content: bytes) -> None:
        """Have progress put there, in place of progress that was not delivered yet."""
        self._progress = (progress, content)
        self._sender.wake()

    @property
    def is_empty(self) -> bool:
        """Whether all is delivered."""
        return not self._waiting and self._progress is None

    def close(self) -> None:
        """Begin to deliver nothing more."""
        self._sender.end()

    def finish(self) -> None:
        """Deliver nothing more: all that the folder holds is about to be, and progress is past."""
        self._sender.end()
        self._sender.wait()
        self._progress = None
        self._waiting.clear()
        shutil.rmtree(self._folder / FOLDER, ignore_errors=True)

    def flush(self) -> None:
        """Deliver what is left now; raises what goes wrong."""
        self._sender.end()
        self._sender.wait()
        self._deliver()

    def keep(self) -> None:
        """Write progress that is not delivered to the folder, too."""
        if (progress := self._progress) is not None:
            (self._folder / FOLDER).mkdir(exist_ok=True)
            write_whole(self._folder / FOLDER / file_name(*progress), progress[1])

    def _deliver(self) -> None:
        while self._waiting:
            file = self._folder / (path := self._waiting[0])
            self._files.put(path, file.read_bytes())
            self._waiting.popleft()
            file.unlink()
        if (progress := self._progress) is not None:
            self._files.put_progress(f"{FOLDER}/{file_name(*progress)}", progress[1])
            if self._progress is progress:  # else there is a newer one by now
                self._progress = None


def within(seconds: float, call: Callable[[], None]) -> bool:
    """Whether the call ended in so many seconds, well or not; else it goes on in its thread."""
    thread = threading.Thread(target=call, daemon=True)
    thread.start()
    thread.join(seconds)
    return not thread.is_alive()
