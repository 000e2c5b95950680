"""Relearning as users have it, whatever tests of whole commands ran before."""

from __future__ import annotations

import pytest

from mu.evaluation.depth.relearn import Relearning

AS_IT_IS = {name: getattr(Relearning, name) for name in ("quickest", "steps")}


@pytest.fixture(autouse=True)
def _relearned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in AS_IT_IS.items():
        monkeypatch.setattr(Relearning, name, method)
