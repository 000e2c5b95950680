"""A worker process of the engine ``processes``: performs what it is sent, until nobody listens."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.connection import Connection

from mu.tasks.sweep.engines.base import Perform

PATIENCE = 30.0  # seconds that a task has to end its run, once the parent is gone


def serve(connection: Connection, perform: Perform) -> None:
    """Read documents, perform them in this process's main thread, and write the answers."""
    # A terminal's Ctrl-C reaches all its processes; it is the parent that ends its workers.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            answer = perform(json.loads(connection.recv_bytes()))
            connection.send_bytes(json.dumps(answer).encode())
        except (EOFError, OSError):  # nobody is at the other end
            return


def _end_with_parent() -> None:
    """Leave no process behind, however the parent ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(PATIENCE)
    os._exit(128 + signal.SIGTERM)
