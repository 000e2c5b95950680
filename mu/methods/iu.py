"""Influence unlearning: the step that the loss's curvature says leaving the forget set out takes.

Let the original minimise the mean loss over all N training samples. Taking the weight of the
forget set's samples away, and sharing it out among the retain set's, moves the minimum by about

    w_unlearned - w = H^-1 v,   v = (1/N) sum over forget of grad - (|forget| / (N |retain|)) sum
                                over retain of grad,

H being the Hessian. In its place stands the damped empirical Fisher information of retain samples,
whose inverse is exact over all free weights (:mod:`mu.fisher.inverse`). The gradients at an
original that fits its data are nearly zero, and so is its Fisher information: the step's
direction means something there, its length does not. So it is multiplied by ``alpha``.

References
----------
Koh & Liang (2017), Understanding Black-box Predictions via Influence Functions, ICML; Izzo et al.
(2021), Approximate Data Deletion from Machine Learning Models, AISTATS; Singh & Alistarh (2020),
WoodFisher, NeurIPS; as put together by Jia et al. (2023), section 3 and appendix.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.hyperparameters import searched, setting
from mu.methods.stopping import Stopping

if TYPE_CHECKING:
    from torch import Tensor, nn

    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.fisher.free import FreeWeights
    from mu.runs import Run
    from mu.training.progress import Checkpointer

CG_STEPS = 100
SOLVERS = ("auto", "woodbury", "cg")


@dataclass(frozen=True)
class InfluenceUnlearning(Stopping):
    """A Newton step away from the forget set, with the inverse Fisher information."""

    name = "iu"
    aliases = ("IU", "wfisher")
    iterative: ClassVar[bool] = False

    alpha: float | None = setting(
        None,
        help="multiplies the step; 1 is the formula's (default: found by the rule)",
        low=0.0,
    )
    fisher_samples: int = searched(
        setting(
            256, help="images of the retain set that the Fisher information is taken from", low=1
        ),
        64,
        1024,
    )
    damping: float = searched(
        setting(
            0.1, help="added to the Fisher information, in units of its diagonal's mean", above=0.0
        ),
        1e-3,
        10.0,
    )
    solver: str = setting(
        "auto",
        help="woodbury solves a system with a row for each image; cg (conjugate gradients) goes "
        "through the images for each of its steps, up to 100; auto takes woodbury unless so few "
        "gradients fit into memory that it would go through them more often",
        choices=SOLVERS,
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

        model = run.place(checkpoint.model)
        free = FreeWeights(model, checkpoint.mask)
        criterion = self.criterion(model, split, run)
        step = self._step(model, free, split, run)
        move(free, model, step, criterion or self.alpha or 0.0, run)

    def _step(self, model: nn.Module, free: FreeWeights, split: ForgetSplit, run: Run) -> Tensor:
        """H^-1 v, a vector (free weights,)."""
        from mu.fisher.inverse import Samples, conjugate_gradients, woodbury
        from mu.fisher.mean import mean_gradient

        forget, retain = (
            mean_gradient(model, free, part, run) for part in (split.forget_set, split.retain_set)
        )
        share = len(split.forget) / (len(split.forget) + len(split.retain))
        vector = share * (forget - retain)
        data = split.retain_set.drawn(self.fisher_samples, run.generator("Fisher samples"))
        samples = Samples(model, free, data, run, self.chunk_size)
        rows = samples.rows_that_fit()
        passes = math.ceil(len(data) / rows) / 2
        if self.solver == "woodbury" or (self.solver == "auto" and passes <= CG_STEPS):
            return woodbury(samples, vector, self.damping, rows)
        return conjugate_gradients(samples, vector, self.damping, steps=CG_STEPS)
