"""Devices by name: what this machine has, and what may be done with it."""

from __future__ import annotations

import torch

from mu.distributed.place import place, usable_cores
from mu.errors import UserError

FEWEST_CORES = 2  # so that two processes can be tried anywhere


def pick_device(name: str) -> torch.device:
    """The device of that name; UserError if there is none on this machine."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0].split(". ")[0]
        raise UserError(f"device={name!r} cannot be used here ({reason}); try auto") from error
    return device


def check_ranks(devices: int) -> None:
    """Refuse a number of processes that is not that of the launcher."""
    size = place().size
    if devices in (1, size):
        return
    if size == 1:
        raise UserError(
            f"devices={devices}, but this is one process; start the script with torchrun "
            f"--nproc-per-node={devices} and leave devices out (a notebook is one process)"
        )
    raise UserError(
        f"devices={devices}, but torch's launcher started {size} processes; leave devices out"
    )


def check_device_count(device: str, devices: int, sync_bn: bool) -> None:
    """:func:`check_devices`, and refuse more processes on a CPU than it has cores."""
    where, cores = pick_device(device), max(FEWEST_CORES, usable_cores())
    if where.type == "cpu" and devices > cores:
        raise UserError(
            f"devices={devices}, but this machine has {cores} cores; give devices={cores}"
        )
    check_devices(device, devices, sync_bn)


def check_devices(device: str, devices: int, sync_bn: bool) -> None:
    """Refuse more devices than this machine has, and what only several can do.

    UserError, too, if one is named for several processes. ``devices``: how many processes there
    are, or will be, on this machine.
    """
    if sync_bn and (max(devices, place().size) == 1 or pick_device(device).type != "cuda"):
        raise UserError(
            f"sync_bn={sync_bn} with device={device} and devices={devices}: torch synchronises "
            "batch normalisation over several GPUs only; leave sync_bn out"
        )
    if devices == 1:
        return
    kind, _, number = str(device).partition(":")
    if number:
        raise UserError(
            f"device={device} is one device, but devices={devices}; give device={kind}, or leave "
            "devices out"
        )
    if pick_device(device).type == "cuda" and devices > (there := torch.cuda.device_count()):
        raise UserError(
            f"devices={devices}, but there are {there} GPUs here; give devices={there}, or "
            "device=cpu"
        )
