"""Programs and notebooks get results, and no line printed."""

from __future__ import annotations

import pytest

import mu
from mu.tasks.unlearn import unlearn
from tests.conftest import PrunedStore


def test_what_a_command_prints_a_program_finds_in_the_result(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    entry = {"prune_run_id": pruned.run_id, "forget": "class:3", "method": "nothing"}
    request = mu.Request(entry=entry, device={"device": "cpu"})
    done = mu.unlearn(request)
    assert capsys.readouterr() == ("", "")
    unlearn(request)
    out, err = capsys.readouterr()
    assert err.startswith("unlearn run ")
    assert done.alarms
    assert all(alarm.text in out for alarm in done.alarms)


def test_a_failed_program_does_not_silence_the_next_command(
    pruned: PrunedStore, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(mu.UserError):
        mu.unlearn(mu.Request(entry={"prune_run_id": "nowhere"}))
    entry = {"prune_run_id": pruned.run_id, "method": "nothing"}
    unlearn(mu.Request(entry=entry, device={"device": "cpu"}))
    assert "unlearned" in capsys.readouterr().out
