"""A probe of the features: whether the forgotten can still be told apart by its neighbours.

A k-nearest-neighbours classifier, and not a fitted linear one: it has no constant of its own to
choose, takes a product of two matrices, and, with the few samples that it gets, told originals from
oracles more clearly (digits, class 8: 82 % and 48 to 64 %, a ridge classifier 88 % and 67 to 79 %).

References
----------
Kim, Cha & Kim (2025), Are We Truly Forgetting? A Critical Re-examination of Machine Unlearning
Evaluation Protocols, arXiv:2503.06991, who judge unlearned features by k-NN and by CKA. Gao, Unal,
Rangamani & Zhu (2026), An Illusion of Unlearning?, arXiv:2604.08271, who do so by a linear probe.
Votes in proportion to the similarity: Wu, Xiong, Yu & Lin (2018), Unsupervised Feature Learning
via Non-Parametric Instance Discrimination, CVPR, section 3.4.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from mu.evaluation.depth.samples import Features, Samples

NEIGHBOURS = 5


def probe_accuracy(features: Features, samples: Samples) -> float:
    """Share of what was to be forgotten that its neighbours still give its class, in percent.

    Neighbours are retained training samples and, of a class that is forgotten as a whole, as many
    forgotten samples as a retained class has on average: without them nobody could vote for it.
    Scored are unseen test images of such classes, and the forgotten samples of all other classes,
    of which the neighbours contain none. Labels are those that the original was trained with. NaN
    where there is nothing to score: a class without test images.
    """
    labels, kept = samples.forgotten.labels, samples.retained.labels
    whole = torch.from_numpy(np.isin(labels.numpy(), samples.whole))
    each = max(1, len(kept) // max(1, len(np.unique(kept.numpy()))))
    shown = [torch.nonzero(labels == label)[:each, 0] for label in samples.whole]
    seen = torch.cat([*shown, torch.zeros(0, dtype=torch.int64)])
    known = torch.cat([features.retained, features.forgotten[seen]])
    queries = torch.cat([features.unseen, features.forgotten[~whole]])
    right = torch.cat([samples.unseen.labels, labels[~whole]])
    if not len(right):
        return float("nan")
    found = nearest_classes(known, torch.cat([kept, labels[seen]]), queries)
    return 100.0 * float((found == right).double().mean())


def nearest_classes(known: Tensor, labels: Tensor, queries: Tensor) -> Tensor:
    """The class of each query by its five nearest neighbours, int64 of shape (n_queries,).

    Nearest by the cosine; a vote weighs as much as its cosine. ``known`` and ``queries``: features,
    (n, d) and (n_queries, d); ``labels``: of the known ones, (n,).
    """
    cosines = F.normalize(queries, dim=1) @ F.normalize(known, dim=1).T
    closest = cosines.topk(min(NEIGHBOURS, len(known)), dim=1)
    votes = F.one_hot(labels[closest.indices], int(labels.max()) + 1) * closest.values[:, :, None]
    return votes.sum(1).argmax(1)
