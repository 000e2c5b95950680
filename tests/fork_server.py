"""The server of :mod:`tests.forks`: ``python -m tests.fork_server``."""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import socket
import sys
import tempfile
import threading
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mu import environment
from tests.forks import LONGEST, SERVER, SERVER_FD, Server, call_this, start_by

HIGH = 500  # no file that a child is given has such a number


def _load() -> None:
    """Import what children would import; what takes long is short in them, too."""
    environment.prepare()
    for name in (
        "mlflow.store.tracking.sqlalchemy_store", "sqlalchemy.dialects.sqlite", "sklearn.svm",
        "sklearn.linear_model", "matplotlib.backends.backend_agg", "torchvision",
        "torch.distributed.launcher.api",
    ):  # fmt: skip
        importlib.import_module(name)
    import mu.tasks

    for one in pkgutil.walk_packages(mu.tasks.__path__, "mu.tasks."):
        if not one.name.endswith(".ray"):
            importlib.import_module(one.name)
    soon = importlib.import_module("tests.soon")
    soon.relearn_soon()
    soon.paint_nothing()
    soon.light_stores()


def serve(end: socket.socket) -> dict[str, Any]:
    """Wait for requests until nobody can send one; returns in each child, with its request."""
    while True:
        text, files, _, _ = socket.recv_fds(end, LONGEST, 64)
        if not text:
            os._exit(0)
        request = json.loads(text)
        if (between := os.fork()) == 0:
            between = os.getpid()
            if os.fork():
                os._exit(0)  # its child becomes one of whoever sent the request
            while os.getppid() == between:
                os.sched_yield()
            _take(files, request["files"])
            return request
        os.waitpid(between, 0)
        for file in files:
            os.close(file)


def _take(files: Sequence[int], numbers: Sequence[int]) -> None:
    """Give this process's files the numbers that they shall have."""
    high = [fcntl.fcntl(file, fcntl.F_DUPFD, HIGH) for file in files]
    for file in files:
        os.close(file)
    for file, number in zip(high, numbers, strict=True):
        os.dup2(file, number)
        os.close(file)


def become(end: socket.socket) -> None:
    """Serve, and in each child be the process that was requested."""
    request = serve(end)
    call_this(b"python")
    if request["session"]:
        os.setsid()
    os.chdir(request["folder"])
    os.environ.clear()
    os.environ.update(request["variables"])
    _, kind, what, *rest = request["arguments"]
    sys.argv = [kind, *rest]
    sys.path[0] = request["folder"] if kind == "-m" else ""
    sys.modules["__main__"] = types.ModuleType("__main__")
    tempfile.tempdir = None
    sys.modules["numpy"].random.seed()
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    if os.fork() == 0:
        own.close()
        end.close()
        call_this(SERVER.encode())
        with Path(os.devnull).open("r+b", buffering=0) as nothing:
            for number in request["files"]:
                os.dup2(nothing.fileno(), number)
        become(other)
    other.close()
    with end:
        end.send(str(os.getpid()).encode())
    start_by(Server(own, request["variables"]))
    try:
        if kind == "-m":
            runpy._run_module_as_main(what)
        else:
            exec(compile(what, "<string>", "exec"), sys.modules["__main__"].__dict__)
    except SystemExit as error:
        if not isinstance(error.code, int | None):
            raise
        _end(error.code or 0)
    _end(0)


def _end(status: int) -> None:
    """As an interpreter ends, but that it frees no module: that takes a second."""
    threading._shutdown()
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status & 0xFF)


def main() -> None:
    end = socket.socket(fileno=int(os.environ.pop(SERVER_FD)))
    _load()
    threads = {(one / "comm").read_text().strip() for one in Path("/proc/self/task").iterdir()}
    # pyarrow's allocator is made for forks: its thread starts again in the child.
    assert len(threads - {"jemalloc_bg_thd"}) == 1, (
        f"there are threads, which no fork has: {threads}"
    )
    gc.collect()
    gc.freeze()
    call_this(SERVER.encode())
    become(end)


if __name__ == "__main__":
    main()
