"""Evaluation: returns named numbers and logs nothing."""

from mu.evaluation.gap import GAP_METRICS, gaps
from mu.evaluation.outputs import Outputs, predict
from mu.evaluation.unlearning import SplitOutputs, evaluate, look, measure

__all__ = [
    "GAP_METRICS", "Outputs", "SplitOutputs", "evaluate", "gaps", "look", "measure", "predict",
]  # fmt: skip
