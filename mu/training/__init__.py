"""Training: the one loop, its recipe, and learning-rate schedules."""

from mu.training.loop import DivergedError, train
from mu.training.recipe import Training
from mu.training.schedules import SCHEDULES, learning_rate_factor

__all__ = ["SCHEDULES", "DivergedError", "Training", "learning_rate_factor", "train"]
