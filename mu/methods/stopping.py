"""How far a method goes: one rule for all of them.

How strong a noise, a step, an ascent or a penalty has to be spans many orders of magnitude over
data sets, networks and forget sets. What it is to achieve does not. So by default it follows from a
rule that is the same for every method, and knows the retain, forget and validation samples only:
no test image, and no oracle.

- The goal: the network is no surer of the forget set than the original is of images of the same
  classes that it never saw, its validation part; and not much less sure either. Of a class that is
  forgotten as a whole nothing is to be recognised, and no poisoned sample is to be given its false
  label.
- The limit: the retain set loses at most ``max_accuracy_drop`` points of accuracy.
- The budget: :data:`BUDGET` passes over the retain set.

A scale is bracketed and bisected (:mod:`mu.methods.steps.search`), an ascent takes back the epoch
that went too far and halves its step, a training ends with its best epoch
(:mod:`mu.methods.steps.best`). Where nothing says how sure the network may be, the rule refuses.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

from mu.errors import UserError
from mu.hyperparameters import setting
from mu.methods.base import Method

if TYPE_CHECKING:
    from torch import nn

    from mu.data.forget_split import ForgetSplit
    from mu.methods.steps.criterion import StopCriterion
    from mu.runs import Run

BUDGET = 10  # passes over the retain set
RULE = 2  # its version: part of the fingerprint of what follows it


@dataclass(frozen=True)
class Stopping(Method):
    """A method that goes as far as the rule says, unless that is given."""

    # The settings that say how far to go; the rule is in force while all are None
    scale: ClassVar[tuple[str, ...]] = ("alpha",)
    idle: ClassVar[tuple[str, ...]] = ("max_accuracy_drop",)  # those that then have nothing to say

    max_accuracy_drop: float = setting(
        1.0,
        help="percentage points of retain-set accuracy that unlearning may cost, by default",
        above=0.0,
        high=100.0,
        formerly="spend",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        given = self._given()
        for one in fields(self):
            value = getattr(self, one.name)
            if given and one.name in self.idle and value != one.default:
                raise UserError(
                    f"{one.name}={value:g} has no effect beside {given}="
                    f"{getattr(self, given):g}, which says how far to go; leave one of them out"
                )

    def _given(self) -> str:
        """The setting that says how far to go; empty where the rule does."""
        return next((name for name in self.scale if getattr(self, name) is not None), "")

    def check(self, split: ForgetSplit) -> None:
        """See :meth:`Method.check`: the rule needs something to go by."""
        from mu.methods.steps.criterion import check_comparable

        super().check(split)
        if not self._given():
            check_comparable(split, self.scale[0])

    def criterion(self, model: nn.Module, split: ForgetSplit, run: Run) -> StopCriterion | None:
        """The rule, ``model`` being the original; None where it is given how far to go."""
        from mu.methods.steps.criterion import StopCriterion

        if self._given():
            return None
        self.check(split)
        return StopCriterion(model, split, run, self.max_accuracy_drop)

    def identity(self) -> dict[str, Any]:
        """See :meth:`Method.identity`; what follows another version of the rule is another."""
        return {**super().identity(), **({} if self._given() else {"rule": RULE})}
