"""Entries for programs and notebooks: what the commands do, without a line printed.

What the commands print is in the results: numbers, warnings (``alarms``) and the verdict.
"""

from __future__ import annotations

from mu.cli.requests import Request
from mu.report.console import silence
from mu.tasks import prune as originals
from mu.tasks import unlearn as unlearning
from mu.tasks.problem import TrackedModel, Unlearned


@silence()
def prune(request: Request) -> TrackedModel:
    """Train an original, dense or sparse, in a run; gives its ID, checkpoint and numbers."""
    return originals.prune(request)


@silence()
def unlearn(request: Request) -> Unlearned:
    """Make an original forget, in a run; gives its ID, checkpoint, numbers, alarms and verdict."""
    return unlearning.unlearn(request)
