"""The diagonal of the Fisher information: expected squared gradients of the log-likelihood.

For a sample with probabilities p over the classes, the gradient of log p_c by the logits is
e_c - p. So the diagonal is the mean over samples of sum_c p_c (J' (e_c - p))^2, J being the
logits' Jacobian: each sample and each class is squared by itself, and no label of the data is
needed.

References
----------
Golatkar, Achille & Soatto (2020), Eternal Sunshine of the Spotless Net, CVPR. Kunstner, Hennig &
Balles (2019), Limitations of the Empirical Fisher Approximation, NeurIPS, on why the expectation
is over the model's own predictions. Tanabe & Sagae (1992), An Exact Cholesky Decomposition and the
Generalized Inverse of the Variance-Covariance Matrix of the Multinomial Distribution, J. R.
Statist. Soc. B 54, on why the exact expectation takes one pass less than there are classes.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from mu.data.batches import Batches
from mu.data.images import Subset
from mu.fisher.per_sample import evaluating, score
from mu.runs import Run

TINY = torch.finfo(torch.float64).tiny


def diagonal(
    model: nn.Module,
    data: Subset,
    run: Run,
    *,
    labels: str = "exact",
    chunk_size: int = 16,
) -> list[Tensor]:
    """The mean over ``data`` of the squared gradients, for every parameter in its shape.

    Ranks share the samples, and draw each for its own.

    Parameters
    ----------
    model
        Looked at in evaluation mode; it is not changed.
    labels
        ``exact`` takes the expectation over all classes: a backward pass for each but one. The
        others are estimates without bias from a single pass for all. ``signs`` gives each class's
        term a random sign and squares their sum, so that on average the products of different
        terms cancel. ``drawn`` takes one label for each image, drawn from the network's own
        prediction: where a network is sure, nearly all labels are the certain one, which says next
        to nothing.
    chunk_size
        Images that are looked at together; it bounds the memory, not the result.
    """
    run.place(model, data.images.shape)
    first = next(model.parameters())
    sums = {one: torch.zeros_like(one).reshape(-1) for one in model.parameters()}
    draws = run.generator("labels of the Fisher information" + run.ranks.suffix)
    own = data.part(*run.ranks.part(0, len(data)))
    with evaluating(model) as samples, run.progress("Fisher information", len(own)) as advance:
        for images, _ in Batches(own, chunk_size, run.device).in_order() if len(own) else ():
            batch = samples.batch(images.to(first.dtype))
            for weights in _weights(batch.logits, labels, draws):
                for parameter, start, values in batch.gradients(weights, last=labels != "exact"):
                    squares = values.square().sum(0)
                    sums[parameter][start : start + len(squares)] += squares
            advance(len(images), "")
    run.samples_seen += len(data)
    return [(run.ranks.add_up(total) / len(data)).view(one.shape) for one, total in sums.items()]


def _weights(logits: Tensor, labels: str, draws: torch.Generator) -> Iterator[Tensor]:
    """Weights of the logits (n, classes) whose squared gradients are to be added up."""
    likely = logits.softmax(1)
    if labels == "signs":
        likely = logits.double().softmax(1)  # its distance from 1 is what counts
        signs = torch.randint(0, 2, likely.shape, generator=draws).to(likely) * 2 - 1
        roots = likely.sqrt() * signs
        yield (roots - likely * roots.sum(1, keepdim=True)).to(logits)
        return
    if labels == "drawn":
        uniform = torch.rand(len(likely), 1, generator=draws).to(likely)
        drawn = (likely.cumsum(1) < uniform).sum(1).clamp(max=likely.shape[1] - 1)
        yield score(logits, drawn)
        return
    yield from _parts(likely.double(), logits)


def _parts(likely: Tensor, logits: Tensor) -> Iterator[Tensor]:
    """Vectors (n, classes) whose squares u u' add up to diag(p) - p p', one less than classes.

    With the classes sorted, each is one class against all that come after it. From the likeliest
    to the least, so that small probabilities are added up and never subtracted from 1.
    """
    ordered, order = likely.sort(1, descending=True)
    after = ordered.flip(1).cumsum(1).flip(1)  # with the class's own
    for place in range(likely.shape[1] - 1):
        own, rest, both = ordered[:, place, None], after[:, place + 1, None], after[:, place, None]
        against = torch.zeros_like(ordered)
        against[:, place] = 1
        # Nothing is left of classes whose probability is zero: 0 / 0 is to be 0.
        against[:, place + 1 :] = -ordered[:, place + 1 :] / rest.clamp(min=TINY)
        scale = (own * (rest / both.clamp(min=TINY))).sqrt()
        yield torch.zeros_like(likely).scatter(1, order, scale * against).to(logits)
