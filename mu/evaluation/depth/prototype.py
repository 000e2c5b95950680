"""The prototypical relearning attack: five images of a class, and no training, bring it back.

The paper takes the mean of their features, scaled to length 1, as the class's row of the head, or
half of it and half of the old row. Two things are different here. The row is as long as the others
on average, so that it depends on no network's scale. And the mean of the retained features is
taken out first, since rows of a trained head point to class means without the mean of all (Papyan
et al. 2020): features behind a ReLU all point to the same side, and a row of that length that
points there too takes samples of every class: on digits ``prototype_acc`` was then 100 for
original, oracle and everything else, and a quarter to half of the other classes were lost. With
the mean taken out, the other classes keep their accuracy, and original and oracle are as far apart
as in the paper (class 3: 92 and 70).

References
----------
Ha, Park & Yoon (2026), Unlearning's Blind Spots: Over-Unlearning and Prototypical Relearning
Attack, ICML, arXiv:2506.01318. Papyan, Han & Donoho (2020), Prevalence of Neural Collapse during
the Terminal Phase of Deep Learning Training, PNAS, arXiv:2008.08186.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from mu.evaluation.depth.samples import Features, Samples
from mu.models.head import Head

SHOTS = 5  # images of each class


def prototype_accuracy(head: Head, features: Features, samples: Samples) -> float:
    """Accuracy that comes back on unseen images of the classes forgotten as a whole, in percent.

    For each of these classes the row of the head is set from the mean features of five of its
    forgotten images: :func:`prototype_rows`. All classes compete, so what is not brought back is
    taken for another class. The network is left as it is. NaN where no class is forgotten as a
    whole, or there are no unseen images of it.
    """
    if not len(samples.unseen):
        return float("nan")
    labels = samples.forgotten.labels
    means = [features.forgotten[labels == label][:SHOTS].mean(0) for label in samples.whole]
    weight, bias = _rows(head)
    weight, bias = prototype_rows(
        weight, bias, list(samples.whole), torch.stack(means), features.retained.mean(0)
    )
    found = (features.unseen @ weight.T + bias).argmax(1)
    return 100.0 * float((found == samples.unseen.labels).double().mean())


def prototype_rows(
    weight: Tensor, bias: Tensor, classes: list[int], prototypes: Tensor, centre: Tensor
) -> tuple[Tensor, Tensor]:
    """Weight and bias of a head whose rows ``classes`` are set from prototypes.

    A row points from the centre to its prototype, as long as the other rows are on average; its
    bias is such that it gives the centre the mean of the other rows' logits there. ``weight`` and
    ``bias``: of the head, (n_classes, n_features) and (n_classes,). ``prototypes`` and ``centre``:
    mean features of some samples of each of ``classes``, (len(classes), n_features), and of
    retained samples, (n_features,).
    """
    weight, bias = weight.clone(), bias.clone()
    others = [row for row in range(len(weight)) if row not in classes]
    length = weight[others].norm(dim=1).mean()
    rows = length * F.normalize(prototypes - centre, dim=1)
    level = (weight[others] @ centre + bias[others]).mean()
    weight[classes], bias[classes] = rows, level - rows @ centre
    return weight, bias


def _rows(head: Head) -> tuple[Tensor, Tensor]:
    """Weight and bias of a head, float64 on the CPU; a bias that is not there is zero."""
    weight = head.module.weight.detach().flatten(1).cpu().double()
    bias: Tensor | None = head.module.bias
    return weight, weight.new_zeros(len(weight)) if bias is None else bias.detach().cpu().double()
