"""Fisher forgetting: noise on every weight, the more the less the retain set needs it.

The noise of a weight has the standard deviation ``alpha * F^(-1/4)``, F being its Fisher
information on the retain set. This is the formula of the paper, alpha standing for its
(lambda sigma^2)^(1/4): among Gaussian noises of covariance S, F^(-1/2) is the one that minimises
tr(F S) + lambda sigma^2 tr(S^-1), what the retain set loses plus what can still be read from the
weights. The code that was published with it has the standard deviation F^(-1/2), the optimum of
another trade-off (the most entropy that the retain set can bear): there every weight costs the
retain set the same, and nearly all of the noise goes where the network is indifferent to it, the
forget set included.

References
----------
Golatkar, Achille & Soatto (2020), Eternal Sunshine of the Spotless Net: Selective Forgetting in
Deep Networks, CVPR, section 5.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.fisher import LABELS
from mu.hyperparameters import searched, setting
from mu.methods.stopping import Stopping

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.fisher.free import FreeWeights
    from mu.runs import Run
    from mu.training.progress import Checkpointer


@dataclass(frozen=True)
class FisherForgetting(Stopping):
    """Noise shaped by the diagonal Fisher information of the retain set."""

    name = "ff"
    aliases = ("FF", "fisher_new")
    iterative: ClassVar[bool] = False

    alpha: float | None = setting(
        None,
        help="scale of the noise (default: found by the rule)",
        low=0.0,
    )
    fisher_samples: int = setting(
        4096, help="images of the retain set that are looked at, at the most", low=1
    )
    fisher_labels: str = setting(
        "signs",
        help="exact: the expectation over all classes, a backward pass for each but one; in one "
        "pass for all, signs: every class with a random sign, drawn: one label an image, drawn "
        "from the network's own prediction",
        choices=LABELS,
    )
    damping: float = searched(
        setting(1e-3, help="added to the Fisher information, in units of its mean", above=0.0),
        1e-5,
        1e-1,
    )
    reset_class: bool = setting(
        False,
        help="whether the output of a class that is forgotten as a whole is set to zero, like the "
        "published code: that alone hides the class",
    )
    chunk_size: int = setting(16, help="images that are differentiated together", low=1)

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        from mu.fisher.free import FreeWeights
        from mu.methods.steps.search import move
        from mu.models.head import head_for, reset_outputs

        model = run.place(checkpoint.model)
        classes = split.forgotten_classes if self.reset_class else ()
        images, remedy = checkpoint.spec.recipe.model.example(), "give reset_class=False"
        # Before any work, so that a network without a head is refused before it.
        head = head_for("reset_class=True", model, images, remedy) if classes else None
        free = FreeWeights(model, checkpoint.mask)
        criterion = self.criterion(model, split, run)
        noise = self._noise(model, free, split, run)
        if head is not None:
            noise *= free.vector(reset_outputs(model, head, classes))
        move(free, model, noise, criterion or self.alpha or 0.0, run)

    def _noise(self, model: nn.Module, free: FreeWeights, split: ForgetSplit, run: Run) -> Tensor:
        """The noise at ``alpha = 1``, a vector (free weights,)."""
        import torch

        from mu.fisher.diagonal import diagonal

        data = split.retain_set.drawn(self.fisher_samples, run.generator("Fisher samples"))
        found = diagonal(model, data, run, labels=self.fisher_labels, chunk_size=self.chunk_size)
        deviation = noise_deviation(free.vector(found), self.damping)
        return torch.randn(free.size, generator=run.generator("noise")).to(deviation) * deviation


def noise_deviation(information: Tensor, damping: float) -> Tensor:
    """``(F + damping * mean F) ^ (-1/4)``; ones where there is no information at all.

    ``information``: the diagonal F, of any shape.
    """
    mean = information.mean()
    if not bool(mean > 0):
        return information.new_ones(information.shape)
    # The mean is taken out first: F itself may be too small for the power.
    relative = information / mean + damping
    result: Tensor = relative.pow(-0.25) * mean.double().pow(-0.25).to(information.dtype)
    return result
