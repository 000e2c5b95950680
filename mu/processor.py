"""The processor that computes: its kind, and whether it has instructions for bf16."""

from __future__ import annotations

import platform
from dataclasses import dataclass
from pathlib import Path

import torch

CPUINFO = Path("/proc/cpuinfo")
# Of x86 and of Arm, as Linux names them. Without one of them torch computes bf16 by way of fp32,
# which takes longer than fp32 alone.
BF16 = ("amx_bf16", "avx10_2", "avx512_bf16", "bf16")


@dataclass(frozen=True)
class Processor:
    """A kind of processor; two of a kind round alike with the same torch and as many threads."""

    name: str
    bf16: tuple[str, ...] = ()  # which of its instructions are for bf16

    def __str__(self) -> str:
        return ", ".join([self.name, *self.bf16])

    @classmethod
    def of(cls, device: torch.device, cpuinfo: Path = CPUINFO) -> Processor:
        """That of a device; of a CPU by what Linux says, and elsewhere its architecture only."""
        if device.type == "cuda":
            return cls(torch.cuda.get_device_name(device))
        said: dict[str, str] = {}
        if cpuinfo.is_file():
            lines = (line.partition(":") for line in cpuinfo.read_text().splitlines())
            for name, _, value in lines:
                said.setdefault(name.strip(), value.strip())
        flags = said.get("flags", said.get("Features", "")).split()
        name = said.get("model name") or platform.processor() or platform.machine()
        # What torch's kernels are chosen by; two processors may bear one name in a virtual machine.
        capability = torch.backends.cpu.get_cpu_capability()
        return cls(f"{name} ({capability})", tuple(one for one in BF16 if one in flags))
