"""Files on their way to a run's artifacts while the work goes on: it never waits for them."""

from __future__ import annotations

import shutil
from collections import deque
from collections.abc import Callable
from pathlib import Path

from mu.tracking.run_files import RunFiles
from mu.tracking.sender import Sender
from mu.training.progress import FOLDER, Progress, file_name, write_whole


class Outbox:
    """Delivers files in their order, then the newest progress; older progress is dropped.

    Parameters
    ----------
    files
        Where they go.
    folder
        Of what is not delivered yet: a file lies there until it is.
    failed
        Called with what went wrong; it is tried again later.
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
