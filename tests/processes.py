"""Real child processes for tests; whatever a test forgets to end is ended here."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[1]
PATIENCE = 120


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


@contextmanager
def python(*arguments: str, cwd: Path = ROOT) -> Iterator[subprocess.Popen[str]]:
    """A child Python in a process group of its own."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=cwd,
        env=environment(),
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a child prints; its errors where it prints none."""
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    if not line:
        errors = process.communicate(timeout=PATIENCE)[1]
        raise AssertionError(f"the child ended without a line:\n{errors}")
    return line


def run_python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """A child Python, run to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=environment(),
        timeout=PATIENCE,
        check=False,
    )
