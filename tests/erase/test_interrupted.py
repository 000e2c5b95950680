"""An erasure that is stopped is started again: nothing stays half retired, or lies about."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from mu import tags
from mu.cli.main import run as run_command
from mu.cli.mu import mu as mu_command
from mu.tasks.erase import gate
from mu.tasks.erase import run as module
from mu.tasks.erase.gate import promote
from mu.tracking.registered import find_version
from mu.tracking.store import Store
from tests.erase.conftest import METHOD, MODEL, Erased, World, call, newest_erasure
from tests.helpers import refused

OLD, PRODUCTION = f"models:/{MODEL}/1", f"models:/{MODEL}@production"


@pytest.fixture
def erase_again(
    registered: World, erased: Erased, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[Store, Callable[[], int]]:
    """A store before the first erasure, and what does it, as often as it is called."""
    world = registered.copied(tmp_path / "store", monkeypatch)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # where what was written is kept
    line = ("--records", erased.request, "--model", PRODUCTION, "--policy", erased.policy)
    return world.store, lambda: call(*line, *METHOD, "--promote", "production")


def stop(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def check_done(store: Store) -> None:
    assert find_version(store, PRODUCTION).number == 2
    assert tags.RETIRED in find_version(store, OLD).tags
    with refused("faces version 1 holds records"):
        promote(store, OLD, "production")


@pytest.mark.parametrize("step", ["retire", "register", "set_alias", "_signed"])
def test_whoever_is_stopped_at_the_gate_starts_again(step, erase_again, capsys) -> None:
    store, again = erase_again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gate, step, stop)
        assert again() == 130
    assert newest_erasure(store).info.status == "KILLED"
    moved = find_version(store, PRODUCTION).number == 2
    assert moved == (step == "_signed")
    capsys.readouterr()
    assert again() == 0
    said = " ".join(capsys.readouterr().out.split())
    assert ("it was stopped (KILLED) once its gate was open" in said) == moved
    check_done(store)


def test_what_was_not_retired_is_retired_later(erase_again) -> None:
    store, again = erase_again
    with pytest.MonkeyPatch.context() as patch:  # as where the gate moved the alias first
        patch.setattr(gate, "retire", lambda *_: None)
        patch.setattr(gate, "_signed", stop)
        assert again() == 130
    assert tags.RETIRED not in find_version(store, OLD).tags
    assert again() == 0
    check_done(store)


def test_nothing_personal_stays_in_the_scratch_folder(erase_again, tmp_path: Path) -> None:
    _, again = erase_again
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "open_gate", stop)
        assert again() == 130
    kept = [one for one in tmp_path.glob("mu-*/**/*") if one.is_file()]
    assert kept  # the bundle
    assert not [one for one in kept if "sealed" in one.parts or b"Quillon" in one.read_bytes()]


def test_the_doctor_says_how_to_go_on(
    registered: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    store = registered.copied(tmp_path / "store", monkeypatch).store
    for entry in ("erase", "prune"):
        launched = {"mlflow.project.entryPoint": entry}
        store.client.create_run(store.experiment_id, start_time=1, tags=launched)
    with pytest.raises(SystemExit):
        run_command(lambda _: mu_command, ["doctor", "--orphan-hours", "0"])
    lines = [line.split("  ", 1)[1] for line in capsys.readouterr().out.splitlines()[1:]]
    (erased,) = (line for line in lines if line.startswith("erase"))
    (pruned,) = (line for line in lines if line.startswith("prune"))
    assert "start the same command again" in erased
    assert "resume_run_id" in pruned
