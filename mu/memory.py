"""How much memory a piece of work took at its highest, and how much there is."""

from __future__ import annotations

import resource
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import torch

CGROUP = Path("/sys/fs/cgroup")


def reset_peak(device: torch.device) -> None:
    """Let :func:`peak_mb` count from now on; where a system cannot, it counts from the start."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        with suppress(OSError):
            Path("/proc/self/clear_refs").write_text("5")  # Linux's way to reset VmHWM


def peak_mb(device: torch.device) -> float:
    """Highest memory use, MiB: of the device on CUDA, else of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    # Linux hands ru_maxrss down from the parent process, so its own mark comes first.
    with suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 2**10
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def free_bytes(device: torch.device) -> int:
    """Memory that could be taken: of the device on CUDA, else of the machine or its container."""
    if device.type == "cuda":
        # What torch keeps for its next tensors counts as taken there, and is free all the same.
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    free = psutil.virtual_memory().available
    with suppress(OSError, ValueError):  # no container, or one without a limit
        limit, used = (int((CGROUP / f"memory.{one}").read_text()) for one in ("max", "current"))
        free = min(free, limit - used)
    return max(free, 0)
