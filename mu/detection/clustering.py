"""Activation clustering: poisoned samples are a small cluster of their own in their class.

The features of each class are reduced by independent component analysis and split into clusters.
The smallest one is suspected if it is much smaller than the rest, and the two are really two.
Within it samples are ranked by how far they are from the centre of the rest.

References
----------
Chen, Carvalho, Baracaldo, Ludwig, Edwards, Lee, Molloy & Srivastava (2018), Detecting Backdoor
Attacks on Deep Neural Networks by Activation Clustering, arXiv:1811.03728: features of the last
hidden layer, ICA, k-means with two clusters, relative size and silhouette score. The limits 0.35
and 0.1 and ten dimensions are those of its authors' program, the Adversarial Robustness Toolbox.
Not the paper's: the ranking; more than two clusters, of which the smallest stands against the
rest; that a cluster of one or two samples is not suspected, as every class has some that are like
no other; that of the classes with a suspicious cluster only one is suspected, the one with the
highest silhouette score.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mu.detection.base import Detector, Suspects
from mu.hyperparameters import setting

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.images import ImageDataset
    from mu.runs import Run


@dataclass(frozen=True)
class ActivationClustering(Detector):
    """How clusters are found, and which are suspected."""

    name = "clustering"

    size: float = setting(
        0.35,
        help="a cluster is suspected if it has a smaller share of its class",
        above=0.0,
        high=0.5,
    )
    silhouette: float = setting(
        0.1,
        help="and if the silhouette score of the two clusters is higher (-1 to 1)",
        low=-1,
        below=1,
    )
    clusters: int = setting(
        2, help="of each class, of which the smallest may be suspected", low=2, high=100
    )
    dimensions: int = setting(10, help="to which the features are reduced", low=1, high=1000)

    def suspect(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Suspects:
        """See :meth:`Detector.suspect`."""
        from mu.detection import activations

        classes = activations.features_by_class(checkpoint, dataset, run, self)
        found = {
            label: activations.smallest_cluster(one, self.dimensions, self.clusters)
            for label, one in classes.items()
        }
        suspicious = {
            label: one
            for label, one in found.items()
            if len(one.rows) >= activations.FEWEST
            and one.share < self.size
            and one.silhouette > self.silhouette
        }
        activations.tell_clusters(found, suspicious, dataset, run)
        if self.among == "auto" and suspicious:
            label = max(suspicious, key=lambda one: suspicious[one].silhouette)
            suspicious = {label: suspicious[label]}
        parts = [(classes[n].numbers[one.rows], one.scores) for n, one in suspicious.items()]
        return activations.ranked(parts, bool(suspicious))
