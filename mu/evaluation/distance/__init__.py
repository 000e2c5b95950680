"""How far an unlearned model is from its oracle, a small file for each way of saying so.

A file of one number names it as the metric is named; those of several return them by name.
"""

from mu.evaluation.distance.divergence import divergences
from mu.evaluation.distance.klom import klom, klom_by_part
from mu.evaluation.distance.relearn import relearn_steps, relearn_target
from mu.evaluation.distance.weights import weight_distance

__all__ = [
    "divergences", "klom", "klom_by_part", "relearn_steps", "relearn_target", "weight_distance",
]  # fmt: skip
