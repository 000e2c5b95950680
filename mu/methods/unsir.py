"""UNSIR: noise that the network calls a forgotten class the least is learnt as that class.

For each forgotten class c, images N of standard normal noise are changed by steps of Adam on
-CE(f(N), c) + ``noise_decay`` * (mean over images of their squared length), f being the original in
evaluation mode and N normalised images, of any size of pixel. An epoch impairs, and repairs: it
goes over copies of that noise, labelled c, shuffled together with some retained images of each
class, and then over these retained images. One optimiser takes the steps of both, and the noise is
augmented as images are (``augment``).

With a given ``lr``, or a preset, no image of the forget set is read, only which classes it has. By
the rule, how sure the network is of these images says how far to go.

References
----------
Tarun, Chundawat, Mandal & Kankanhalli (2023), Fast Yet Effective Machine Unlearning, IEEE
Transactions on Neural Networks and Learning Systems, arXiv:2111.08947.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import LARGEST_RATE, MOST_BATCH, setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage

CODE = "selective-synaptic-dampening cdfdc0e: src/unlearn.py, forget_full_class_strategies.py"
MOST = 1_000_000


@dataclass(frozen=True)
class Unsir(Passes):
    """Noise of the greatest error is learnt as the forgotten class, and damage repaired."""

    name = "unsir"
    aliases = ("UNSIR",)
    classes_only = True
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, epochs=1, lr=1e-4, optimizer="adam", noise_images=32)
        | published(CODE, noise_steps=25, noise_lr=0.1, noise_decay=0.1, noise_copies=80)
        | published(CODE, retained_per_class=500)
        | published("torch's default of Adam", weight_decay=0.0)
        | published("no decay is named there", schedule="constant"),
    }

    noise_images: int = setting(32, help="noise images of a class", low=1, high=MOST_BATCH)
    noise_steps: int = setting(25, help="steps of Adam that make the noise", low=0, high=MOST)
    noise_lr: float = setting(0.1, help="learning rate of these", above=0, high=LARGEST_RATE)
    noise_decay: float = setting(0.1, help="weight of the noise's mean squared length", low=0.0)
    noise_copies: int = setting(80, help="copies of the noise an epoch", low=1, high=MOST)
    retained_per_class: int = setting(
        500, help="retained images of a class, drawn once, that repair", low=1, high=MOST
    )

    def held(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.held`; no weight is held, but the noise is made with the original."""
        import torch

        from mu.methods.steps.noise import maximise_error

        draws, run = stage.run.generator("noise"), stage.run
        for one in stage.split.forgotten_classes:
            shape = (self.noise_images, *stage.split.dataset.shape)
            noise = torch.randn(shape, generator=draws, dtype=torch.float64)
            how = (self.noise_steps, self.noise_lr, self.noise_decay)
            stage.found[str(one)] = maximise_error(checkpoint.model, noise, one, *how, run)

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        import torch

        from mu.methods.steps.noise import among, of_each_class

        draws = stage.run.generator("retained images")
        retained = of_each_class(stage.split.retain_set, self.retained_per_class, draws)
        if stage.forgets:
            noise, labels = torch.cat([*stage.found.values()]), [*map(int, stage.found)]
            each = torch.tensor(labels).repeat_interleave(self.noise_images)
            yield stage.forgetting(data=among(retained, noise, each, self.noise_copies))
        yield stage.retaining(data=retained)
