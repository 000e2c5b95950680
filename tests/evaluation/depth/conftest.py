"""Relearning as users have it, whatever tests of whole commands ran before."""

from __future__ import annotations

import pytest

from mu.evaluation.depth.relearn import Relearning

AS_IT_IS = Relearning.quickest


@pytest.fixture(autouse=True)
def _relearned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Relearning, "quickest", AS_IT_IS)
