"""Networks and verbs for tests of many processes, by name: ranks import them from here."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import torch
from torch import Tensor, nn

from mu.distributed import everywhere
from mu.errors import UserError
from mu.runs import Run
from mu.training.progress import Keeper, Progress


class Smooth(nn.Module):
    """In float64, without batch normalisation and without kinks: results differ by rounding."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(in_channels, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.head = nn.Linear(8, num_classes)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(images.double()))
        return self.head(torch.tanh(self.second(hidden)).mean((2, 3)))


class Idle(Smooth):
    """With a layer that is never used."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(num_classes, in_channels)
        self.unused = nn.Linear(3, 3).double()


class Normalised(nn.Sequential):
    """With batch normalisation."""

    def __init__(self, num_classes: int, in_channels: int) -> None:
        super().__init__(
            nn.Conv2d(in_channels, 8, 3),
            nn.BatchNorm2d(8),
            nn.ReLU(),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(8, num_classes),
        )


SMOOTH, IDLE, NORMALISED = (f"{__name__}:{kind.__name__}" for kind in (Smooth, Idle, Normalised))


@everywhere
def ranks_of(run: Run) -> list[tuple[int, int, bool]]:
    """Rank, size, and whether the process is another one than that which asks."""
    own = torch.tensor([[run.ranks.rank, run.ranks.size, os.getpid()]])
    found = run.ranks.gather(own, run.ranks.size)
    return [tuple(row) for row in found.tolist()]


@everywhere
def gathered(run: Run, total: int) -> Tensor:
    """Each rank's own places."""
    first, last = run.ranks.part(0, total)
    return run.ranks.gather(torch.arange(first, last).float()[:, None], total)


@everywhere
def logged(run: Run, keeper: Keeper, progress: Progress) -> int:
    """Logs, notes, shows and keeps."""
    before = keeper.last()
    with run.progress("work", 10) as advance:
        for number in range(10):
            run.log("number", number, number)
            advance(1, "so far")
    run.note(f"rank {run.ranks.rank} noted")
    run.samples_seen += 7
    keeper.save(progress)
    return before.epoch if before else -1


@everywhere
def changed(run: Run, model: nn.Module, values: Tensor) -> tuple[nn.Module, Tensor]:
    """Edits what it is given."""
    with torch.no_grad():
        for one in model.parameters():
            one += 1
    values += 1
    return model, values


@everywhere
def mistaken(run: Run, rank: int) -> None:
    """One rank finds a mistake of the user, while the others wait for it."""
    if run.ranks.rank == rank:
        raise UserError("the image 'a.jpg' is truncated; replace it")
    run.ranks.add_up(torch.zeros(1))


@everywhere
def broken(run: Run) -> None:
    """A defect in one rank."""
    if run.ranks.rank == 1:
        raise ZeroDivisionError("of rank 1")
    run.ranks.add_up(torch.zeros(1))


@everywhere
def killed(run: Run, number: int) -> None:
    """One rank is killed, while the others wait for it."""
    run.log("begun", 1)
    if run.ranks.rank == 1:
        os.kill(os.getpid(), number)
    run.ranks.add_up(torch.zeros(1))


@everywhere
def stuck(run: Run, place: str) -> None:
    """Says where it is, and works for long."""
    path = Path(place)
    (path / f"{run.ranks.rank}.pid").write_text(str(os.getpid()))
    time.sleep(600)


SIGKILL, SIGSEGV = signal.SIGKILL, signal.SIGSEGV
