"""Relearning as users have it, whatever tests of whole commands ran before."""

from __future__ import annotations

import pytest

from mu.evaluation.depth import measure, relearn

AS_IT_IS = {"LR": relearn.LR, "MOST_STEPS": relearn.MOST_STEPS}


@pytest.fixture(autouse=True)
def _relearned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in AS_IT_IS.items():
        monkeypatch.setattr(relearn, name, value)
    monkeypatch.setattr(measure, "MOST_STEPS", relearn.MOST_STEPS)
