"""Training: the one loop, its recipe, and learning-rate schedules."""

from mu.training.recipe import Training
from mu.training.schedules import SCHEDULES, learning_rate_factor

__all__ = ["SCHEDULES", "Training", "learning_rate_factor"]
