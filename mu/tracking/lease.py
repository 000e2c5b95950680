"""Whose run it is: the process that works on it, and how long its word is good for.

A process on this machine can be looked up. One elsewhere is known by its heartbeat alone, a tag of
the run: when that has not come for so long, the run is nobody's any more.
"""

from __future__ import annotations

import hashlib
import secrets
import socket
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import psutil

from mu.distributed.place import is_running
from mu.tags import HEARTBEAT, HOST, PID, PROCESS, PROCESS_START

HEARTBEAT_SECONDS = 60.0
LEASE_SECONDS = 300.0  # clocks of machines differ by less


def process_tags() -> dict[str, str]:
    """The tags that say that a run is this process's, from now on."""
    process = psutil.Process()
    return {
        HOST: socket.gethostname(),
        PID: str(process.pid),
        PROCESS_START: f"{process.create_time():.2f}",
        PROCESS: f"{machine()}-{secrets.token_hex(4)}",
        HEARTBEAT: str(int(time.time())),
    }


@cache
def machine() -> str:
    """Where process numbers are unique: containers of one name, on one machine, differ."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        about = boot + str(Path("/proc/self/ns/pid").readlink())
    except OSError:  # not Linux: its name must do
        about = ""
    return hashlib.sha256(f"{socket.gethostname()} {about}".encode()).hexdigest()[:8]


def is_here(tags: Mapping[str, str]) -> bool:
    """Whether the process of a run with these tags is, or was, one of this machine."""
    known = tags.get(PROCESS)  # runs of earlier versions have none
    return tags[HOST] == socket.gethostname() and (
        known is None or known.partition("-")[0] == machine()
    )


def seconds_silent(tags: Mapping[str, str]) -> float | None:
    """How long ago the process of a run was last heard of; None where it never is."""
    try:
        return time.time() - float(tags[HEARTBEAT])
    except (KeyError, ValueError):
        return None


def state_of(tags: Mapping[str, str]) -> str | None:
    """What has become of the process of a run that is RUNNING.

    ``alive``, ``dead``, or ``elsewhere`` (it is on another machine, and was heard of, or never
    says anything). None where the tags name no process.
    """
    try:
        pid, started, here = int(tags[PID]), float(tags[PROCESS_START]), is_here(tags)
    except (KeyError, ValueError):
        return None
    if not here:
        silent = seconds_silent(tags)
        return "dead" if silent is not None and silent > LEASE_SECONDS else "elsewhere"
    return "alive" if is_running(pid, started) else "dead"


def remedy_elsewhere(tags: Mapping[str, str]) -> str:
    """What to do about a RUNNING run whose process is on another machine, in words."""
    silent = seconds_silent(tags)
    if silent is None:
        return f"if that machine is gone, say so: mu doctor --host {tags.get(HOST, '?')}"
    return (
        f"it was heard of {max(0.0, silent):.0f} s ago; wait for it or stop it there, and after "
        f"{LEASE_SECONDS:.0f} s of silence it is free"
    )
