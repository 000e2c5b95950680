"""CT: swap the two directions of every convolution's kernel, and train on the retain set.

Nothing else tells the network to forget. Kernels of 1 x 1 stay as they are. On a sparse network a
weight that would come to lie on a pruned place is lost, and one whose partner is pruned begins at
zero: the mask stays.

References
----------
Fifth place of the NeurIPS 2023 Machine Unlearning Challenge; named by Cadet et al. (2024), Deep
Unlearn: Benchmarking Machine Unlearning, arXiv:2410.01276.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.methods.passes import Passes
from mu.methods.presets import Preset, published

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.methods.steps.passes import Pass, Stage

CODE = "deepunlearn 6830ff6: munl/unlearning/kgltop5.py"


@dataclass(frozen=True)
class ConvolutionTranspose(Passes):
    """Kernels are transposed, and the retain set is trained on."""

    name = "ct"
    aliases = ("CT",)
    gentle = 2.0  # what was done to the weights has forgotten: they have to be trained again
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, epochs=3, lr=1e-3, schedule="cosine"),
    }

    def edit(self, checkpoint: Checkpoint, stage: Stage) -> None:
        """See :meth:`Passes.edit`."""
        from mu.methods.steps.resetting import transpose_kernels

        if not transpose_kernels(checkpoint):
            stage.run.note("no convolution has a kernel to transpose: this is fine-tuning")

    def passes(self, stage: Stage) -> Iterable[Pass]:
        """See :meth:`Passes.passes`."""
        return [stage.retaining()]
