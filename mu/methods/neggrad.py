"""NegGrad+: descend on the retain set and climb on the forget set, in the same step.

A step minimises alpha * CE(retain batch) - (1 - alpha) * CE(forget batch). An epoch is a pass over
the retain set; the forget set is gone through again and again beside it, in another order each
time. The two batches are passed forward one after the other, so batch normalisation normalises
each by itself and its running statistics see both (``batch_norm=original``: neither).

References
----------
Kurmanji, Triantafillou, Hayes & Triantafillou (2023), Towards Unbounded Machine Unlearning,
NeurIPS, as the baseline NegGrad+.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.methods.steps.passes import Pass, Stage

DEEP_UNLEARN = "deepunlearn 6830ff6: munl/unlearning/neggradplus.py, after SCRUB's notebook"
RULI = "Ruli 9541122: core/unlearn_config.json"


@dataclass(frozen=True)
class NegGradPlus(Passes):
    """Descent on the retain set and ascent on the forget set."""

    name = "neggrad"
    aliases = ("NegGrad+", "advanced NegGrad", "neggrad_plus")
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(DEEP_UNLEARN, retain_weight=0.95, epochs=10, lr=0.01, optimizer="sgd")
        | published("no decay is named there", schedule="constant"),
        "ruli": published(RULI, retain_weight=0.9, epochs=10, lr=5e-4, batch_size=64)
        | published("no decay is named there", schedule="constant"),
    }

    retain_weight: float = setting(
        0.95,
        help="alpha: weight of the retain set's loss; that of the forget set is alpha - 1",
        above=0.0,
        high=1.0,
    )

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        from mu.methods.steps.passes import weighted

        if not stage.forgets:
            return [stage.retaining()]
        climbing = stage.beside(weighted(self.retain_weight - 1))
        return [stage.retaining(weighted(self.retain_weight), beside=climbing)]
