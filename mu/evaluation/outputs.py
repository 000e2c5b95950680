"""One forward pass: what every metric is computed from. Logits, where they are not too many."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.evaluation import PARTS
from mu.evaluation.reductions import REDUCTIONS
from mu.live_channels import live_channels
from mu.runs import Run

BATCH_SIZE = 512
FEW = 256  # samples, below which passes over all channels are as well
# Numbers, samples times classes, up to which the logits of a set are kept: 0.8 GB in float64.
MOST_LOGITS = 100_000_000


class Outputs:
    """What a network says of a set of samples: logits, or numbers of single samples.

    Whoever needs a number of each sample takes it by name (:meth:`score`), and gets it of every
    set; logits are not kept of sets that are too large.

    Parameters
    ----------
    logits
        float64 of shape (n_samples, n_classes), on the CPU; None where they are not kept.
    labels
        int64 of shape (n_samples,).
    scores, classes
        Without logits: by the names of :data:`mu.evaluation.reductions.REDUCTIONS`, each of shape
        (n_samples,); and the number of classes.
    """

    def __init__(
        self,
        logits: Tensor | None,
        labels: Tensor,
        scores: Mapping[str, Tensor] | None = None,
        classes: int = 0,
    ) -> None:
        self._logits, self.labels, self._scores = logits, labels, scores or {}
        self.classes = classes if logits is None else logits.shape[1]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def has_logits(self) -> bool:
        """Whether there are whole vectors, not only numbers of single samples."""
        return self._logits is not None

    @property
    def logits(self) -> Tensor:
        """float64 of shape (n_samples, n_classes).

        ValueError if the set was too large to keep its logits.
        """
        if self._logits is None:
            raise ValueError(
                f"the set was too large to keep its logits ({len(self):,} samples x "
                f"{self.classes:,} classes); there are scores of single samples only"
            )
        return self._logits

    def score(self, name: str) -> Tensor:
        """One of :data:`mu.evaluation.reductions.REDUCTIONS`, of shape (n_samples,)."""
        if self._logits is None:
            return self._scores[name]
        return REDUCTIONS[name](self._logits, self.labels)

    def select(self, rows: Tensor) -> Outputs:
        """The samples of these rows."""
        return self.changed(lambda values: values[rows], self.labels[rows])

    def changed(self, change: Callable[[Tensor], Tensor], labels: Tensor) -> Outputs:
        """Logits, or else scores, after ``change``, with these labels."""
        if self._logits is not None:
            return Outputs(change(self._logits), labels)
        scores = {name: change(values) for name, values in self._scores.items()}
        return Outputs(None, labels, scores, self.classes)

    def reduced(self) -> Outputs:
        """The same without logits."""
        scores = {name: self.score(name) for name in REDUCTIONS}
        return Outputs(None, self.labels, scores, self.classes)

    @property
    def predictions(self) -> Tensor:
        """int64 of shape (n_samples,): the class of the largest logit."""
        return self.score("predictions")

    @property
    def right(self) -> Tensor:
        """Bool of shape (n_samples,): whether a sample is given its label."""
        return torch.eq(self.predictions, self.labels)

    def confidence(self) -> Tensor:
        """float64 of shape (n_samples,): softmax probability of the true class, 0-1."""
        return self.score("confidence")

    @property
    def finite(self) -> bool:
        """Whether every logit is a number."""
        return bool(self.score("finite").all())

    def accuracy(self) -> float:
        """Share of samples given their label, in percent (0-100).

        ValueError if there are no samples.
        """
        if not len(self):
            raise ValueError("the accuracy of no samples is not defined")
        return 100.0 * float(self.right.double().mean())


def joined(parts: Sequence[Outputs]) -> Outputs:
    """The samples of all parts, in their order; without logits where one part has none.

    ``parts``: at least one; of the same number of classes.
    """
    labels = torch.cat([part.labels for part in parts])
    if all(part.has_logits for part in parts):
        return Outputs(torch.cat([part.logits for part in parts]), labels)
    scores = {name: torch.cat([part.score(name) for part in parts]) for name in REDUCTIONS}
    return Outputs(None, labels, scores, parts[0].classes)


def check_same_samples(ours: Outputs, oracle: Outputs, part: str) -> None:
    """Refuse outputs that cannot be of the same samples in the same order.

    Only labels can tell: samples of equal labels that changed places go unseen. ValueError if there
    are no samples, or labels or numbers of classes differ.
    """
    if not len(ours) or not len(oracle):
        raise ValueError(f"models cannot be compared on no {part} samples")
    if ours.labels.tolist() != oracle.labels.tolist():
        raise ValueError(f"the two models were looked at on different {part} samples")
    if ours.classes != oracle.classes:
        raise ValueError(f"the two models have {ours.classes} and {oracle.classes} classes")


@dataclass(frozen=True, eq=False)
class SplitOutputs:
    """One forward pass of a model over each part of a forget split."""

    forget: Outputs
    retain: Outputs
    test: Outputs  # without a class that is forgotten as a whole
    test_forgotten: Outputs | None  # of such a class

    def parts(self) -> dict[str, Outputs]:
        """The parts that there are, by name."""
        named = {name: getattr(self, name) for name in (*PARTS, "test_forgotten")}
        return {name: one for name, one in named.items() if one is not None}

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
    of all. ``most_logits``: where samples times classes are more, each batch is reduced to numbers
    of single samples at once, and its logits are not kept.
    """
    was_training = model.training
    run.place(model, subset.images.shape).eval()
    first, last = run.ranks.part(0, len(subset))
    # A rank without samples looks at one all the same, which tells the number of classes.
    part = subset.part(first, last) if last > first else subset.part(0, 1)
    with closing(_logits(model, part, run, batch_size)) as rest:
        logits = next(rest)
        keep = len(subset) * logits.shape[1] <= most_logits  # all ranks' samples decide
        batches = itertools.chain([logits], rest)
        if keep:
            # They leave the device together at the end: a copy of each batch would make it wait.
            outputs = Outputs(torch.cat([*batches]).cpu().double(), part.labels)
        else:
            outputs = _reduced(batches, part.labels)
    model.train(was_training)
    if run.ranks.size == 1:
        return outputs
    return outputs.changed(lambda own: run.ranks.gather(own, len(subset)), subset.labels)


def _logits(
    model: nn.Module, subset: Subset, run: Run, batch_size: int
) -> Generator[Tensor, None, None]:
    """float32 of shape (batch, n_classes) for each batch in turn, on the device."""
    batches = Batches(subset, batch_size, run.device)
    some = len(subset) >= FEW  # else the trial costs more than it saves
    with live_channels(model, lambda: batches.few()[0]) if some else nullcontext():
        for images, _ in batches.in_order():
            with run.autocast():
                logits = model(images)
            yield logits.float()


def _reduced(batches: Iterable[Tensor], labels: Tensor) -> Outputs:
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
    return Outputs(None, labels, whole, part.classes)
