"""Training: the one loop, its recipe, and learning-rate schedules."""

from mu.training.loop import Diverged, train
from mu.training.recipe import Training
from mu.training.schedules import SCHEDULES, learning_rate_factor

__all__ = ["SCHEDULES", "Diverged", "Training", "learning_rate_factor", "train"]
