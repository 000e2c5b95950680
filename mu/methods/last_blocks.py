"""Methods that train the last blocks of a network, and leave all else bit for bit as it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.hyperparameters import setting
from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Stage
    from mu.models.blocks import Part
    from mu.training.held import Held

CODE = "deepunlearn 6830ff6: munl/unlearning/{}_k.py, after SCRUB's notebook"
MOST_BLOCKS = 10_000


def published_in(file: str) -> Preset:
    """What CF-k and EU-k were published with."""
    given = published(CODE.format(file), k=1, epochs=10, lr=0.01, weight_decay=0.1)
    return given | published("the nearest to a tenth after 50, 80 and 90 %", schedule="step")


@dataclass(frozen=True)
class LastBlocks(Passes):
    """Passes that train the last ``k`` blocks and the classifier; :mod:`mu.models.blocks`."""

    k: int = setting(
        1,
        help="blocks before the classifier that are trained; 0: the classifier alone",
        low=0,
        high=MOST_BLOCKS,
    )

    def part(self, checkpoint: Checkpoint) -> Part:
        """What is trained."""
        from mu.models.blocks import last_blocks

        images = checkpoint.spec.recipe.model.example()
        return last_blocks(checkpoint.model, images, self.k + 1)

    def held(self, checkpoint: Checkpoint, stage: Stage) -> Held:
        """See :meth:`Passes.held`."""
        from mu.training.held import Held

        model, part = checkpoint.model, self.part(checkpoint)
        stage.run.note(f"k={self.k}: trained is {part.words(model)}; the rest is the original's")
        still = {name for name, _ in model.named_parameters()} - {*part.parameters}
        calm = {name for name, _ in model.named_modules()} - {*part.modules}
        return Held(model, {}, still, calm)
