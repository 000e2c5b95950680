"""MLflow's entry points: parse, track, load, call one verb, evaluate, save.

They run from the project's root, as ``mlflow run . -e NAME`` or ``python -m entrypoints.NAME``.
"""

from __future__ import annotations

import os

# Before torch is loaded: its threads then sleep while they wait for each other. By default they
# spin, and where another program has one of the cores, small work takes many times as long.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Large tensors on the CPU in large pages, where the system has them: by default each new batch of
# images costs several times as long to be given its memory as to be filled.
os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
