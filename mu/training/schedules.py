"""Learning-rate schedules as plain functions of time, so that a rewound run can go on anywhere.

Time is the share of the whole schedule that has passed, 0 to 1; so a schedule scales with the
number of epochs asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable

RISE = 0.3  # share of a one-cycle schedule in which the rate rises
FLOOR = 0.04  # of the peak, where a one-cycle schedule starts
TOP, START, END = 0.23, 0.2, 0.07  # of a triangle: where the peak is; of the peak, at both ends


def constant(time: float) -> float:  # noqa: ARG001
    """The rate as given."""
    return 1.0


def step(time: float) -> float:
    """A tenth after one half, a hundredth after three quarters (the paper's)."""
    return 1.0 if time < 0.5 else 0.1 if time < 0.75 else 0.01


def cosine(time: float) -> float:
    """Half a cosine, down to zero (Loshchilov & Hutter 2017)."""
    return 0.5 * (1 + math.cos(math.pi * time))


def one_cycle(time: float) -> float:
    """Up to the peak in the first 30 %, then half a cosine down to zero (Smith & Topin 2018)."""
    if time < RISE:
        return FLOOR + (1 - FLOOR) * time / RISE
    return cosine((time - RISE) / (1 - RISE))


def triangle(time: float) -> float:
    """A line up from 20 % to the peak at 23 %, and one down to 7 % (Jordan 2024)."""
    if time < TOP:
        return START + (1 - START) * time / TOP
    return 1 - (1 - END) * (time - TOP) / (1 - TOP)


SCHEDULES: dict[str, Callable[[float], float]] = {
    "step": step,
    "cosine": cosine,
    "one_cycle": one_cycle,
    "constant": constant,
    "triangle": triangle,
}


def learning_rate_factor(schedule: str, epoch: float, epochs: int, warmup: int = 0) -> float:
    """The factor on the learning rate at a moment.

    ``epoch``: epochs passed, fractions included, 0 to ``epochs``. ``warmup``: epochs in which the
    rate grows linearly from zero to the schedule's.
    """
    factor = SCHEDULES[schedule](epoch / epochs)
    return factor * min(1.0, epoch / warmup) if warmup else factor
