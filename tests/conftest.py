"""Isolation from the user's own MLflow, and stores that cost no seconds to create."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from filelock import FileLock

from mu import environment

if TYPE_CHECKING:
    from mu.tracking import Store
    from tests.commands import Program

# What is loaded and collected stays, and need not be walked by the garbage collector.
gc.disable()

# Before torch is loaded: what mu computes has one thread anyway, but tests that compute without it
# have not, and two threads on a busy machine take many times as long as one.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# A shell's background job ignores SIGINT, and so do its children; tests send it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _no_mlflow_of_the_user() -> Iterator[None]:
    """No test finds, or writes to, a store that it did not ask for."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("MLFLOW_")]:
            patch.delenv(name)
        for name, value in environment.DEFAULTS.items():
            patch.setenv(name, value)
        patch.setenv("MLFLOW_TRACKING_URI", "sqlite:////dev/null/nowhere.db")
        yield


def pytest_collection_finish() -> None:
    gc.freeze()
    # Tests make few cycles, so a young generation of 700 objects is walked for nothing.
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole commands first: they take longest, and no core should end up waiting for one."""
    here = Path(__file__).parent
    items.sort(key=lambda item: item.path.parent not in (here, here / "tracking"))


# --- pictures -----------------------------------------------------------------------------


@pytest.fixture(scope="session")
def unpainted() -> Iterator[None]:
    """The pictures of a run are not drawn: that takes half its time.

    So in all tests with a store, but those that take ``painted``, and in forked processes.
    """
    from tests.soon import paint_nothing

    end = paint_nothing()
    yield
    end()


@pytest.fixture
def painted(unpainted: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pictures are really painted in this test."""
    from tests.soon import paint_as_it_is

    paint_as_it_is(monkeypatch.setattr)


# --- relearning ---------------------------------------------------------------------------


@pytest.fixture(scope="session")
def relearned_soon() -> Iterator[None]:
    """So in all tests with a store and in forked processes; not in tests of relearning."""
    from tests.soon import relearn_soon

    end = relearn_soon()
    yield
    end()


# --- stores -------------------------------------------------------------------------------


def store_uri(path: Path) -> str:
    return f"sqlite:///{path}"


def copy_store(source: Path, folder: Path, artifacts: str | None = None) -> Path:
    """A copy of a SQLite store in ``folder`` whose new runs keep their artifacts there.

    ``artifacts`` names another place for them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "mlflow.db"
    shutil.copyfile(source, path)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "UPDATE experiments SET artifact_location = ? || '/' || experiment_id",
            (artifacts or str(folder / "artifacts"),),
        )
    return path


@pytest.fixture(scope="session")
def _light_stores() -> Iterator[None]:
    from tests.soon import light_stores

    end = light_stores()
    yield
    end()


class Workshop:
    """Makes what several files need once in a test run, whichever worker wants it first."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def folder(self, name: str, make: Callable[[Path], None]) -> Path:
        """The folder of that name, filled by ``make``; nobody writes to it later."""
        folder = self._root / name
        done = folder / "done"
        with FileLock(self._root / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(folder, ignore_errors=True)  # of a worker that failed
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    def store(self, name: str, start: Path, make: Callable[[], None]) -> Path:
        """A store that begins as a copy of ``start``, and to which ``make`` adds runs."""

        def filled(folder: Path) -> None:
            with pytest.MonkeyPatch.context() as patch:
                patch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(start, folder)))
                make()

        return self.folder(name, filled) / "mlflow.db"


@pytest.fixture(scope="session")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    base = tmp_path_factory.getbasetemp()
    root = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "made-once"
    root.mkdir(exist_ok=True)
    return Workshop(root)


@pytest.fixture(scope="session")
def empty_store(
    workshop: Workshop, unpainted: None, relearned_soon: None, _light_stores: None
) -> Path:
    """A SQLite store without runs, with the views that the first one gives it.

    Its many tables take seconds, and the views six transactions.
    """
    from mu.tracking import connect
    from mu.tracking.view import give_views

    def make(folder: Path) -> None:
        give_views(connect(store_uri(folder / "mlflow.db")))

    return workshop.folder("empty-store", make) / "mlflow.db"


@pytest.fixture
def copied(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], Store]:
    """Copies a store for the test alone, and has the environment name it."""
    from mu.tracking import connect

    def copy(source: Path) -> Store:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(source, tmp_path / "store")))
        return connect()

    return copy


@pytest.fixture
def store(empty_store: Path, copied: Callable[[Path], Store]) -> Store:
    """The test's own empty store."""
    return copied(empty_store)


@pytest.fixture
def program(capsys: pytest.CaptureFixture[str]) -> Program:
    """Runs command lines in this process."""
    from tests.commands import Program

    return Program(capsys)


@dataclass(frozen=True)
class FinishedPrune:
    """A store with one finished prune run."""

    path: Path
    run_id: str


@pytest.fixture(scope="session")
def finished_prune(empty_store: Path, workshop: Workshop) -> FinishedPrune:
    """A prune run on 400 digits, which it fits to 93 %; copy its store, do not write to it."""
    from mu.cli.requests import Request
    from mu.tasks.prune import prune
    from mu.tracking import connect, find_original

    def make() -> None:
        original = {"epochs": 2, "train_size": 400, "batch_size": 16}
        prune(Request(original=original, device={"device": "cpu"}))

    path = workshop.store("finished-prune", empty_store, make)
    run = find_original(connect(store_uri(path)), {})
    assert run is not None
    return FinishedPrune(path, run.info.run_id)


@dataclass(frozen=True)
class FinishedUnlearn:
    """A store with two unlearned models of one forget set, two oracles, and another forget set."""

    path: Path
    original: str
    unlearned: tuple[str, str]
    oracles: tuple[str, str]
    other: str


@pytest.fixture(scope="session")
def finished_unlearn(finished_prune: FinishedPrune, workshop: Workshop) -> FinishedUnlearn:
    """Four runs about class 3, each kind with seeds 0 and 1; copy their store."""
    from mu.tracking import connect
    from tests.commands import call

    def make() -> None:
        common = ("--device", "cpu", "--prune_run_id", finished_prune.run_id)
        for method in (("retrain",), ("ft", "--lr", "0.1", "--epochs", "1")):
            for seed in ("0", "1"):
                line = ("--forget", "class:3", "--seed", seed, *common)
                assert call("unlearn", "--method", *method, *line) == 0
        line = ("--forget", "random:20", "--epochs", "1", *common)
        assert call("unlearn", "--method", "ft", *line) == 0

    path = workshop.store("finished-unlearn", finished_prune.path, make)
    found = connect(store_uri(path)).search("tags.`mu.entry` = 'unlearn'")
    other, second, first, oracle2, oracle1 = (run.info.run_id for run in found)
    pairs = (first, second), (oracle1, oracle2)
    return FinishedUnlearn(path, finished_prune.run_id, *pairs, other)


@dataclass(frozen=True)
class PrunedStore:
    """The test's own store with one finished prune run in it."""

    store: Store
    run_id: str


@pytest.fixture
def pruned(finished_prune: FinishedPrune, copied: Callable[[Path], Store]) -> PrunedStore:
    """The test's own copy of the store with a finished prune run."""
    return PrunedStore(copied(finished_prune.path), finished_prune.run_id)


@dataclass(frozen=True)
class UnlearnedStore(FinishedUnlearn):
    """The test's own copy of such a store."""

    store: Store


@pytest.fixture
def unlearned(finished_unlearn: FinishedUnlearn, copied: Callable[[Path], Store]) -> UnlearnedStore:
    """The test's own copy of the store with two unlearned models."""
    return UnlearnedStore(**vars(finished_unlearn), store=copied(finished_unlearn.path))
