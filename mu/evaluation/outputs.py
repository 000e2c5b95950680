"""One forward pass: what every metric is computed from. Logits, where they are not too many."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.distributed.ranks import Ranks
from mu.evaluation.reductions import REDUCTIONS
from mu.runs import Run

BATCH_SIZE = 512
# Numbers, samples times classes, up to which the logits of a set are kept: 0.8 GB in float64.
MOST_LOGITS = 100_000_000


class Outputs:
    """What a network says of a set of samples.

    Whoever needs a number of each sample asks for it by name, and gets it of every set; logits
    are not kept of sets that are too large (:class:`ReducedOutputs`).

    Parameters
    ----------
    logits
        float64 of shape (n_samples, n_classes), on the CPU.
    labels
        int64 of shape (n_samples,).
    """

    def __init__(self, logits: Tensor, labels: Tensor) -> None:
        self._logits, self.labels = logits, labels

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_logits(self) -> bool:
        """Whether there are whole vectors, not only numbers of single samples."""
        return True

    @property
    def logits(self) -> Tensor:
        """float64 of shape (n_samples, n_classes).

        Raises
        ------
        ValueError
            If the set was too large to keep its logits.
        """
        return self._logits

    @property
    def classes(self) -> int:
        """Number of classes."""
        return self._logits.shape[1]

    def score(self, name: str) -> Tensor:
        """One of :data:`mu.evaluation.reductions.REDUCTIONS`, of shape (n_samples,)."""
        return REDUCTIONS[name](self._logits, self.labels)

    def select(self, rows: Tensor) -> Outputs:
        """The samples of these rows."""
        return Outputs(self._logits[rows], self.labels[rows])

    def reduced(self) -> ReducedOutputs:
        """The same without logits."""
        scores = {name: self.score(name) for name in REDUCTIONS}
        return ReducedOutputs(scores, self.labels, self.classes)

    # --- a number a sample, of shape (n_samples,) -----------------------------------------

    @property
    def predictions(self) -> Tensor:
        """int64: the class of the largest logit."""
        return self.score("predictions")

    @property
    def right(self) -> Tensor:
        """Bool: whether a sample is given its label."""
        return torch.eq(self.predictions, self.labels)

    def confidence(self) -> Tensor:
        """float64: softmax probability of the true class, 0-1."""
        return self.score("confidence")

    def log_confidence(self) -> Tensor:
        """float64: the logarithm of the confidence, finite where that is as good as 0 (nats)."""
        return self.score("log_confidence")

    def margin(self) -> Tensor:
        """float64: log-odds of the true class; infinite where its probability is just 0 or 1."""
        return self.score("margin")

    def surest(self) -> Tensor:
        """float64: softmax probability of the likeliest class, 0-1."""
        return self.score("surest")

    def entropy(self) -> Tensor:
        """float64: negative entropy (nats); 0 where the network is sure."""
        return self.score("entropy")

    def modified_entropy(self) -> Tensor:
        """float64: negative modified entropy; 0 where the network is sure and right."""
        return self.score("modified_entropy")

    # --- of all samples -------------------------------------------------------------------

    @property
    def finite(self) -> bool:
        """Whether every logit is a number."""
        return bool(self.score("finite").all())

    def accuracy(self) -> float:
        """Share of samples given their label, in percent (0-100).

        Raises
        ------
        ValueError
            If there are no samples.
        """
        if not len(self):
            raise ValueError("the accuracy of no samples is not defined")
        return 100.0 * float(self.right.double().mean())


class ReducedOutputs(Outputs):
    """Outputs of a set that was too large to keep its logits: numbers of single samples only.

    Parameters
    ----------
    scores
        By the names of :data:`mu.evaluation.reductions.REDUCTIONS`, each of shape (n_samples,).
    labels
        int64 of shape (n_samples,).
    classes
        Number of classes.
    """

    def __init__(self, scores: Mapping[str, Tensor], labels: Tensor, classes: int) -> None:
        self._scores, self.labels, self._classes = scores, labels, classes

    @property
    def has_logits(self) -> bool:
        """See :attr:`Outputs.has_logits`."""
        return False

    @property
    def logits(self) -> Tensor:
        """See :attr:`Outputs.logits`."""
        raise ValueError(
            f"the set was too large to keep its logits ({len(self):,} samples x {self.classes:,} "
            "classes); there are scores of single samples only"
        )

    @property
    def classes(self) -> int:
        """See :attr:`Outputs.classes`."""
        return self._classes

    def score(self, name: str) -> Tensor:
        """See :meth:`Outputs.score`."""
        return self._scores[name]

    def select(self, rows: Tensor) -> Outputs:
        """See :meth:`Outputs.select`."""
        scores = {name: values[rows] for name, values in self._scores.items()}
        return ReducedOutputs(scores, self.labels[rows], self._classes)


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The samples of all parts, in their order; without logits where one part has none.

    Parameters
    ----------
    parts
        At least one; of the same number of classes.
    """
    labels = torch.cat([part.labels for part in parts])
    if all(part.has_logits for part in parts):
        return Outputs(torch.cat([part.logits for part in parts]), labels)
    scores = {name: torch.cat([part.score(name) for part in parts]) for name in REDUCTIONS}
    return ReducedOutputs(scores, labels, parts[0].classes)


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

    def parts(self) -> dict[str, Outputs]:
        """The parts that there are, by name."""
        named = {"forget": self.forget, "retain": self.retain, "test": self.test}
        if self.test_forgotten is not None:
            named["test_forgotten"] = self.test_forgotten
        return named

    @property
    def has_logits(self) -> bool:
        """Whether all parts have."""
        return all(part.has_logits for part in self.parts().values())


@torch.no_grad()
def predict(
    model: nn.Module,
    subset: Subset,
    run: Run,
    *,
    batch_size: int = BATCH_SIZE,
    most_logits: int = MOST_LOGITS,
) -> Outputs:
    """Pass ``subset`` through ``model`` once, in evaluation mode, without augmentation.

    The model is left in the mode that it was in. Ranks share the samples, and each has the outputs
    of all.

    Parameters
    ----------
    most_logits
        Where samples times classes are more, each batch is reduced to numbers of single samples
        at once, and its logits are not kept.
    """
    was_training = model.training
    run.place(model).eval()
    first, last = run.ranks.part(0, len(subset))
    # A rank without samples looks at one all the same, which tells the number of classes.
    own = subset.part(first, last) if last > first else subset.part(0, 1)
    outputs = _assembled(
        _logits(model, own, run, batch_size), own.labels, most_logits, samples=len(subset)
    )
    model.train(was_training)
    return _gathered(outputs, subset.labels, run.ranks)


def _logits(model: nn.Module, subset: Subset, run: Run, batch_size: int) -> Iterator[Tensor]:
    """float32 of shape (batch, n_classes) for each batch in turn, on the device."""
    for images, _ in Batches(subset, batch_size, run.device).in_order():
        with run.autocast():
            logits = model(images)
        yield logits.float()


def _assembled(
    batches: Iterator[Tensor], labels: Tensor, most_logits: int, samples: int
) -> Outputs:
    """Outputs from the logits of consecutive batches, with logits or reduced.

    How many ``samples`` there are in all, those of other ranks among them, decides. Logits that
    are kept leave the device together at the end: a copy of each batch would make the device wait.
    """
    first = next(batches)
    if samples * first.shape[1] <= most_logits:
        return Outputs(torch.cat([first, *batches]).cpu().double(), labels)
    return _reduced(itertools.chain([first], batches), labels)


def _reduced(batches: Iterator[Tensor], labels: Tensor) -> ReducedOutputs:
    """Numbers of single samples from the logits of consecutive batches, a batch at a time.

    They are written into tensors of the whole set. Small ones kept from each batch would lie
    between the large ones that are freed, and memory would grow as if logits were kept.
    """
    whole: dict[str, Tensor] = {}
    start = 0
    for logits in batches:
        end = start + len(logits)
        part = Outputs(logits.cpu().double(), labels[start:end])
        for name in REDUCTIONS:
            values = part.score(name)
            if name not in whole:
                whole[name] = values.new_empty(len(labels))
            whole[name][start:end] = values
        start = end
    return ReducedOutputs(whole, labels, part.classes)


def _gathered(part: Outputs, labels: Tensor, ranks: Ranks) -> Outputs:
    """The outputs of all ranks, from this one's."""
    if ranks.size == 1:
        return part
    if part.has_logits:
        return Outputs(ranks.gather(part.logits, len(labels)), labels)
    scores = {name: ranks.gather(part.score(name), len(labels)) for name in REDUCTIONS}
    return ReducedOutputs(scores, labels, part.classes)
