"""Which wrong labels are planted, in settings only; see :mod:`mu.data.wrong_labels`."""

from __future__ import annotations

from dataclasses import dataclass

from mu.hyperparameters import Hyperparameters, setting


@dataclass(frozen=True)
class WrongLabelOptions(Hyperparameters):
    """Wrong labels planted in the training set."""

    canaries: int | None = setting(
        None,
        help="so many training samples, drawn by split_seed, are given a wrong label; "
        "forget=canary:N of unlearn forgets them",
        low=1,
    )
    confusion: str | None = setting(
        None,
        help="two classes and a number, 3,5:20: so many training samples of each are given the "
        "label of the other; forget=confusion:3,5:20 of unlearn forgets them",
    )
