"""What several benchmarks share."""

from __future__ import annotations

from typing import Any

# CIFAR-10 images on two cores: few enough for minutes, and long enough that originals fit their
# training data, without which forgetting is easy and its measurement means nothing.
CIFAR_SETTINGS: dict[str, Any] = {
    "arch": "resnet14",
    "train_size": 2000,
    "epochs": 30,
    "schedule": "one_cycle",
    "lr": 0.2,
    "batch_size": 128,
    "augment": "none",
}
