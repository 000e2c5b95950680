"""Random labels: train the forget set on labels that are drawn at random, and the retain set on.

Minimised is, in turns, CE(f(x), y') over the forget set and CE(f(x), y) over the retain set; with
``mixed`` and ``amnesiac`` the mean of both over all samples, which is another objective: there a
sample of the forget set counts as much as one of the retain set.

References
----------
Graves, Nagisetty & Ganesh (2021), Amnesiac Machine Learning, AAAI (``amnesiac``); Golatkar,
Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR; as compared by Fan et al.
(2024), SalUn, ICLR (``turns``; ``mixed`` where there are 100 classes or more).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.methods.presets import Preset, published
from mu.methods.relabelling import Relabelling

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Stage
    from mu.training.held import Held

AMNESIAC = "selective-synaptic-dampening cdfdc0e: forget_random_strategies.py, amnesiac"


@dataclass(frozen=True)
class RandomLabels(Relabelling):
    """Cross-entropy with random labels on the forget set, with the true ones on the retain set."""

    name = "rl"
    aliases = ("RL", "amnesiac", "random_labels")
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(AMNESIAC, variant="amnesiac", epochs=3, lr=1e-4, optimizer="adam")
        | published("no decay is named there", schedule="constant")
        | published("torch's default of Adam", weight_decay=0.0),
    }

    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held | None:
        """See :meth:`Passes.held`: all weights move."""
        return None
