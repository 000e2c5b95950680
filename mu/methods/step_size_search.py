"""Step-size search, for methods whose step has no natural size.

The right scale of a noise, a step or an ascent spans many orders of magnitude over data sets,
networks and forget sets: on an original that fits its data, gradients and Fisher information
nearly vanish. What the scale is to achieve does not. So by default it follows from a rule, which
looks at the original's own data and at no test image:

- go on until the network is no surer of the forget set than of images of the same classes that
  the original never saw: its validation part. Of a class that is forgotten as a whole, nothing is
  to be recognised, and no poisoned sample is to be given its false label;
- but never so far that the retain set loses more than ``max_accuracy_drop`` points of accuracy.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

from mu.errors import UserError
from mu.hyperparameters import setting
from mu.methods.base import Method


@dataclass(frozen=True)
class StepSizeSearch(Method):
    """A method whose scale is searched, unless it is given."""

    # The setting that says how far to go, and those that then have nothing to say.
    scale: ClassVar[str] = "alpha"
    idle: ClassVar[tuple[str, ...]] = ("max_accuracy_drop",)

    max_accuracy_drop: float = setting(
        1.0,
        help="percentage points of retain-set accuracy that the step-size search may give up",
        above=0.0,
        high=100.0,
        formerly="spend",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = getattr(self, self.scale)
        for one in fields(self):
            value = getattr(self, one.name)
            if given is not None and one.name in self.idle and value != one.default:
                raise UserError(
                    f"{one.name}={value:g} has no effect beside {self.scale}={given:g}, which says "
                    "how far to go; leave one of them out"
                )
