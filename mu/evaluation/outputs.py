"""One forward pass: the logits that every metric is computed from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.distributed import everywhere
from mu.runs import Run

BATCH_SIZE = 512


@dataclass(frozen=True, eq=False)
class Outputs:
    """What a network says of a set of samples.

    Parameters
    ----------
    logits
        float64 of shape (n_samples, n_classes), on the CPU.
    labels
        int64 of shape (n_samples,).
    """

    logits: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def predictions(self) -> Tensor:
        """int64 of shape (n_samples,): the class of the largest logit."""
        return self.logits.argmax(1)

    def accuracy(self) -> float:
        """Share of samples given their label, in percent (0-100).

        Raises
        ------
        ValueError
            If there are no samples.
        """
        if not len(self):
            raise ValueError("the accuracy of no samples is not defined")
        return 100.0 * float((self.predictions == self.labels).double().mean())

    def confidence(self) -> Tensor:
        """float64 of shape (n_samples,): softmax probability of the true class, 0-1."""
        return self.logits.softmax(1).gather(1, self.labels[:, None]).squeeze(1)

    def select(self, rows: Tensor) -> Outputs:
        """The samples of these rows."""
        return Outputs(self.logits[rows], self.labels[rows])


@dataclass(frozen=True, eq=False)
class SplitOutputs:
    """One forward pass of a model over each part of a forget split.

    Parameters
    ----------
    test, test_forgotten
        Test samples without, and of, a class that is forgotten as a whole.
    """

    forget: Outputs
    retain: Outputs
    test: Outputs
    test_forgotten: Outputs | None


@everywhere
@torch.no_grad()
def predict(model: nn.Module, subset: Subset, run: Run, *, batch_size: int = BATCH_SIZE) -> Outputs:
    """Pass ``subset`` through ``model`` once, in evaluation mode, without augmentation.

    The model is left in the mode that it was in.
    """
    was_training = model.training
    run.place(model).eval()
    first, last = run.ranks.part(0, len(subset))
    logits = []
    # A rank without samples looks at one all the same, for the number of classes.
    own = subset.part(first, last) if last > first else subset.part(0, 1)
    for images, _ in Batches(own, batch_size, run.device).in_order():
        with run.autocast():
            logits.append(model(images).float())
    model.train(was_training)
    found = torch.cat(logits)[: last - first]
    return Outputs(run.ranks.gather(found, len(subset)).cpu().double(), subset.labels)
