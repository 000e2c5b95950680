"""Relearning as users have it, whatever tests of whole commands ran before."""

from __future__ import annotations

import pytest

from tests.soon import RELEARNING


@pytest.fixture(autouse=True)
def _relearned_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for (owner, name), it in RELEARNING.items():
        monkeypatch.setattr(owner, name, it)
