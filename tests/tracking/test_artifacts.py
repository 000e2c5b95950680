"""A run ID becomes checked files: only of a finished run, and only as they were logged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import torch

import mu
from mu.checkpoints import Checkpoint
from mu.file_names import MASK_FILE, SPEC_FILE, WEIGHTS_FILE
from mu.tracking import Store, finished_run, load_checkpoint, load_mask, load_model, tracked
from tests.helpers import flipped, refused
from tests.tracking.handovers import hand_over, small_checkpoint

LOADERS: tuple[Callable[[str], object], ...] = (load_mask, load_model, load_checkpoint)
each_loader = pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)


@pytest.fixture(autouse=True)
def _nothing_is_left(scratch: Path) -> Iterator[None]:
    yield
    assert list(scratch.iterdir()) == []


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return small_checkpoint()


def stored(store: Store, run_id: str, path: str) -> Path:
    """The file of a local store behind an artifact."""
    return Path(urlsplit(store.run(run_id).info.artifact_uri).path) / path


# --- what was handed on -------------------------------------------------------------------


def test_mask_model_and_checkpoint_by_run_id(store: Store, checkpoint: Checkpoint) -> None:
    run_id = hand_over(store, checkpoint)
    assert load_mask(run_id) == checkpoint.mask
    loaded = load_checkpoint(run_id)
    assert loaded.mask == checkpoint.mask
    assert loaded.spec == checkpoint.spec
    for model in (loaded.model, load_model(run_id)):
        assert not model.training
        state = model.state_dict()
        for name, value in checkpoint.model.state_dict().items():
            assert torch.equal(state[name], value)


def test_store_may_be_named_instead_of_the_environment(
    store: Store, checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_id = hand_over(store, checkpoint)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "file:/nowhere")
    assert mu.load_mask(run_id, store.uri) == checkpoint.mask
    assert mu.load_model(run_id, tracking_uri=store.uri) is not None
    assert mu.load_checkpoint(run_id, store.uri).spec == checkpoint.spec


@pytest.mark.parametrize("entry", ["prune", "unlearn", "backdoor"])
def test_every_entry_that_makes_an_original(
    store: Store, checkpoint: Checkpoint, entry: str
) -> None:
    assert load_mask(hand_over(store, checkpoint, entry=entry)) == checkpoint.mask


def test_mask_is_fetched_without_the_weights(store: Store, checkpoint: Checkpoint) -> None:
    run_id = hand_over(store, checkpoint)
    stored(store, run_id, WEIGHTS_FILE).unlink()
    assert load_mask(run_id) == checkpoint.mask


# --- runs that hand nothing on ------------------------------------------------------------


@each_loader
@pytest.mark.parametrize("status", ["RUNNING", "FAILED", "KILLED", "SCHEDULED"])
def test_only_finished_runs(
    store: Store, checkpoint: Checkpoint, load: Callable[[str], object], status: str
) -> None:
    run_id = hand_over(store, checkpoint, status=status)
    with refused(run_id, f"is {status}", "FINISHED"):
        load(run_id)


def test_reason_of_a_failed_run_is_told(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), tracked(store, "prune", "x") as recorder:
        raise ZeroDivisionError("the loss became nan")
    with refused(recorder.run_id, "FAILED (the loss became nan)"):
        load_mask(recorder.run_id)


@each_loader
def test_deleted_and_unknown_runs(
    store: Store, checkpoint: Checkpoint, load: Callable[[str], object]
) -> None:
    run_id = hand_over(store, checkpoint)
    store.client.delete_run(run_id)
    with refused(run_id, "deleted", "restore"):
        load(run_id)
    with refused("'0123'", "no run of the experiment begins with"):
        load("0123")


@each_loader
def test_runs_without_an_original(
    store: Store, checkpoint: Checkpoint, load: Callable[[str], object]
) -> None:
    other = hand_over(store, checkpoint, entry="compare")
    with refused(other, "entry compare", "holds no network"):
        load(other)
    foreign = store.client.create_run("0").info.run_id
    store.client.set_terminated(foreign, "FINISHED")
    with refused(foreign, "entry unknown", "give the ID of a run of prune"):
        load(foreign)


def test_a_finished_prune_run_that_hands_nothing_on(store: Store) -> None:
    with tracked(store, "prune", "x") as recorder:
        pass
    with refused(recorder.run_id, "holds no network"):
        finished_run(store, recorder.run_id)


# --- files that are not what was logged ---------------------------------------------------


@pytest.mark.parametrize(
    ("path", "tag", "load"),
    [
        (MASK_FILE, "mu.mask", load_mask),
        (MASK_FILE, "mu.mask", load_checkpoint),
        (WEIGHTS_FILE, "mu.weights", load_model),
        (SPEC_FILE, "mu.spec", load_checkpoint),
    ],
)
def test_tampered_files(
    store: Store, checkpoint: Checkpoint, path: str, tag: str, load: Callable[[str], object]
) -> None:
    run_id = hand_over(store, checkpoint)
    file = stored(store, run_id, path)
    content = file.read_bytes()
    for damaged in (flipped(content, len(content) - 1), content[:-1], content + b" ", b""):
        file.write_bytes(damaged)
        with refused(run_id, path, tag, "damaged", "make the run again"):
            load(run_id)
    file.write_bytes(content)
    load(run_id)


def test_a_missing_tag_is_no_free_pass(store: Store, checkpoint: Checkpoint) -> None:
    run_id = hand_over(store, checkpoint)
    store.client.delete_tag(run_id, "mu.mask")
    with refused(run_id, "mu.mask"):
        load_mask(run_id)


@pytest.mark.parametrize(
    ("path", "load"),
    [(MASK_FILE, load_mask), (WEIGHTS_FILE, load_model), (SPEC_FILE, load_checkpoint)],
)
def test_missing_files(
    store: Store, checkpoint: Checkpoint, path: str, load: Callable[[str], object]
) -> None:
    run_id = hand_over(store, checkpoint)
    stored(store, run_id, path).unlink()
    with refused(run_id, "no readable artifact", path):
        load(run_id)
