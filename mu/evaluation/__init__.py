"""Evaluation: returns named numbers and logs nothing."""

from mu.evaluation.gap import GAP_METRICS, gaps
from mu.evaluation.membership import membership
from mu.evaluation.outputs import Outputs, SplitOutputs, predict
from mu.evaluation.unlearning import evaluate, look, measure

__all__ = [
    "GAP_METRICS", "Outputs", "SplitOutputs", "evaluate", "gaps", "look", "measure",
    "membership", "predict",
]  # fmt: skip
