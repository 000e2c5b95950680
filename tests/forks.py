"""Child Pythons without the ten seconds that torch, MLflow and scikit-learn take to be imported.

A server that has imported them, and has done nothing else, forks once for each child. A child has
the arguments, variables, folder, streams and session that it would have as a new interpreter, and
becomes a child of the process that wanted it: signals, exit statuses and process numbers are those
of real processes. Each child has such a server too, made before anything has run in it, for those
that it starts itself: ranks of torch's launcher, workers of a sweep.

Where that does not do, a new interpreter is started: for scripts, on other systems than Linux, and
where a variable that is read when torch is imported differs.
"""

from __future__ import annotations

import atexit
import ctypes
import functools
import inspect
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mu import environment

ROOT = Path(__file__).parents[1]
SERVER = "mu-forks"  # the name of servers
SERVER_FD = "MU_TESTS_SERVER"  # names the server's end of the socket
MODULES = ("entrypoints", "mu", "tests", "mlflow")  # of those that ``-m`` may name
SPAWNED = "from multiprocessing.spawn import spawn_main"
# Whoever imports torch first has read them by then.
AT_IMPORT = ("LD_", "MKL_", "OMP_", "OPENBLAS_", "PYTHON", "THP_", "TORCH_LOGS", "NUMPY_")
EXECUTE = inspect.signature(subprocess.Popen._execute_child)
LONG = 900  # seconds, on a machine with much else to do
LONGEST = 1 << 17  # bytes of a request


class Server:
    """One end of the socket to a server that has those ``variables``."""

    def __init__(self, end: socket.socket, variables: Mapping[str, str]) -> None:
        self._end, self._lock = end, threading.Lock()
        self._variables = _at_import(variables)

    def fits(self, variables: Mapping[str, str]) -> bool:
        """Whether a child with these variables is what a new interpreter would be."""
        return self._variables == _at_import(variables)

    def start(self, request: Mapping[str, Any], files: Mapping[int, int]) -> int:
        """The process number of a new child of this process.

        ``files``: which of this process's files the child has, by the child's number for it.
        """
        text = json.dumps({**request, "files": list(files)}).encode()
        assert len(text) < LONGEST
        with self._lock:
            _adopt_orphans(True)
            try:
                socket.send_fds(self._end, [text], list(files.values()))
                answer = self._end.recv(100)
            finally:
                _adopt_orphans(False)
        if not answer:
            raise ChildProcessError("the server of child Pythons has ended; its errors are above")
        return int(answer)


def _adopt_orphans(wanted: bool) -> None:
    """Whether this process becomes the parent of descendants whose parent ends."""
    _prctl(36, int(wanted))  # PR_SET_CHILD_SUBREAPER


def call_this(name: bytes) -> None:
    """Give this process a name, which psutil shows."""
    _prctl(15, name)  # PR_SET_NAME


def _prctl(option: int, value: Any) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")


def known(arguments: Sequence[str]) -> bool:
    """Whether a fork can do what this command line says."""
    match arguments:
        case [sys.executable, "-m", module, *_]:
            return sys.platform == "linux" and module.split(".")[0] in MODULES
        case [sys.executable, "-c", *_]:
            return sys.platform == "linux"
        case _:
            return False


def _at_import(variables: Mapping[str, str]) -> dict[str, str]:
    every = {**environment.DEFAULTS, **variables}
    return {name: value for name, value in every.items() if name.startswith(AT_IMPORT)}


def begin(variables: Mapping[str, str]) -> Server:
    """A new server, which ends with this process."""
    own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with other:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.fork_server"], cwd=ROOT,
            env={**variables, "MPLBACKEND": "Agg", SERVER_FD: str(other.fileno())},
            pass_fds=[other.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            start_new_session=True,
        )  # fmt: skip
    atexit.register(process.wait)
    atexit.register(own.close)
    own.settimeout(LONG)
    return Server(own, variables)


class Forked(subprocess.Popen[str]):
    """A child of a server; everything else is as with other processes."""

    server: Server

    def _execute_child(self, *given: Any) -> None:
        named = EXECUTE.bind(self, *given).arguments
        request, files = _asked(named)
        self.pid = self.server.start(request, files)
        self._child_created = True
        pipes = ("p2cread", "p2cwrite", "c2pread", "c2pwrite", "errread", "errwrite")
        self._close_pipe_fds(*(named[one] for one in pipes))


def of(server: Server) -> type[Forked]:
    """Children of that server."""
    return type("Forked", (Forked,), {"server": server})


def _asked(named: Mapping[str, Any]) -> tuple[dict[str, Any], dict[int, int]]:
    """The request, and the files, that arguments of ``Popen`` mean."""
    streams = (named["p2cread"], named["c2pwrite"], named["errwrite"])
    files = {own: own if given == -1 else given for own, given in enumerate(streams)}
    request = {
        "arguments": list(named["args"]),
        "variables": dict(os.environ if named["env"] is None else named["env"]),
        "folder": str(named["cwd"] or Path.cwd()),
        "session": named["start_new_session"],
    }
    return request, files | {one: one for one in named["pass_fds"]}


def start_by(server: Server) -> Callable[[], None]:
    """Have the server fork what this process starts, where it fits; gives what ends that."""
    import multiprocessing.util

    execute, spawn = subprocess.Popen._execute_child, multiprocessing.util.spawnv_passfds

    @functools.wraps(execute)
    def execute_child(process: Any, *given: Any) -> None:
        named = EXECUTE.bind(process, *given).arguments
        arguments, variables = named["args"], named["env"]
        words = [] if isinstance(arguments, (str, bytes)) else list(arguments)
        variables = os.environ if variables is None else variables
        if named["preexec_fn"] or not (known(words) and server.fits(variables)):
            return execute(process, *given)
        process.server = server
        return Forked._execute_child(process, *given)

    def spawnv_passfds(path: Any, arguments: Sequence[Any], files: Sequence[int]) -> int:
        words = [os.fsdecode(one) for one in arguments]
        if not (known(words) and server.fits(os.environ) and words[2].startswith(SPAWNED)):
            return spawn(path, arguments, files)
        request = {
            "arguments": words, "variables": dict(os.environ), "folder": str(Path.cwd()),
            "session": False,
        }  # fmt: skip
        return server.start(request, {one: one for one in (0, 1, 2, *files)})

    def put(popen: Any, spawning: Any) -> None:
        subprocess.Popen._execute_child = popen
        multiprocessing.util.spawnv_passfds = spawning

    put(execute_child, spawnv_passfds)
    return lambda: put(execute, spawn)
