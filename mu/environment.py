"""Variables that a program sets before torch and MLflow are loaded; what the user has set stays."""

from __future__ import annotations

import os

DEFAULTS = {
    # Torch's threads then sleep while they wait for each other. By default they spin, and where
    # another program has one of the cores, small work takes many times as long.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Large tensors on the CPU in large pages, where the system has them: by default each new batch
    # of images costs several times as long to be given its memory as to be filled.
    "THP_MEM_ALLOC_ENABLE": "1",
    # MLflow sends nothing about its use to anyone.
    "MLFLOW_DISABLE_TELEMETRY": "true",
    # Where tqdm is installed, MLflow draws two bars for each file that it fetches.
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}


def prepare() -> None:
    """Set the variables that are not set yet."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)
