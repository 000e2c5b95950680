"""Real child processes for tests; whatever a test forgets to end is ended here."""

from __future__ import annotations

import functools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests import forks

ROOT = Path(__file__).parents[1]
PATIENCE = 300  # seconds, on a machine with much else to do


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment, with the interpreter's own commands first on the path."""
    commands = str(Path(sys.executable).parent)
    path = f"{commands}{os.pathsep}{os.environ.get('PATH', '')}"
    return {
        **os.environ,
        "PATH": path,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        **(extra or {}),
    }


def free_port() -> int:
    """A port of this machine that nobody listens at now."""
    with socket.socket() as probe:
        probe.bind(("", 0))
        return int(probe.getsockname()[1])


@functools.cache
def _server() -> forks.Server:
    return forks.begin(environment())


def start(
    *arguments: str, env: Mapping[str, str] | None = None, new: bool = False, **settings: Any
) -> subprocess.Popen[str]:
    """A child Python, of which torch and MLflow are already imported; see :mod:`tests.forks`.

    ``new``: started as users start it. ``settings``: of ``Popen``.
    """
    command, variables = [sys.executable, *arguments], environment() if env is None else dict(env)
    kind: type[subprocess.Popen[str]] = subprocess.Popen
    if not new and forks.known(command) and _server().fits(variables):
        kind = forks.of(_server())
    return kind(command, text=True, env=variables, **{"cwd": ROOT, **settings})


@contextmanager
def python(*arguments: str, cwd: Path = ROOT, new: bool = False) -> Iterator[subprocess.Popen[str]]:
    """A child Python in a process group of its own."""
    pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
    with start(*arguments, cwd=cwd, new=new, start_new_session=True, **pipes) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


@contextmanager
def forking() -> Iterator[None]:
    """What this process itself starts in the block is forked: ranks, and workers."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment().items():
            patch.setenv(name, value)
        end = forks.start_by(_server())
        try:
            yield
        finally:
            end()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a child prints; its errors where it prints none."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        errors = process.communicate(timeout=PATIENCE)[1]
        raise AssertionError(f"the child ended without a line:\n{errors}")
    return line


def run_python(
    *arguments: str, cwd: Path = ROOT, timeout: float = PATIENCE, **settings: Any
) -> subprocess.CompletedProcess[str]:
    """A child Python, run to its end."""
    pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
    with start(*arguments, cwd=cwd, **pipes, **settings) as process:
        try:
            out, errors = process.communicate(timeout=timeout)
        finally:
            if process.poll() is None:
                process.kill()
    return subprocess.CompletedProcess(process.args, process.returncode, out, errors)
