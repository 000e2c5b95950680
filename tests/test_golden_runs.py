"""No parameter, metric, tag, artifact or input that runs of commit 01872e7 had has gone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import Workshop, copy_store, store_uri
from tests.golden import record

RENAMED = {"spend": "max_accuracy_drop", "shrink": "l1_strength"}  # aliases today
CHANGED = {"reset_class": "False"}  # defaults that are others today, with a line in CHANGELOG.md
GOLDEN = sorted(path.stem for path in record.FILES.glob("*.json"))


@pytest.fixture(scope="module")
def made(empty_store: Path, workshop: Workshop) -> Path:
    """A folder with the names of each run, written by the code of today."""

    def make(folder: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("MLFLOW_TRACKING_URI", store_uri(copy_store(empty_store, folder)))
            for run, run_id in record.perform(folder).items():
                found = record.names(run_id, folder)
                (folder / record.golden(run).name).write_text(json.dumps(found))

    return workshop.folder("golden-runs", make)


def test_the_same_runs_are_made(made: Path) -> None:
    assert sorted(path.stem for path in made.glob("*.json")) == GOLDEN


@pytest.mark.parametrize("run", GOLDEN)
def test_names_are_as_recorded(made: Path, run: str) -> None:
    expected = json.loads(record.golden(run).read_text())
    later = expected.pop("added")
    for kind, names in json.loads((made / f"{run}.json").read_text()).items():
        more = later.get(kind, [])
        if kind == "params":
            before = {RENAMED.get(name, name): value for name, value in expected[kind].items()}
            changed = {name: value for name, value in CHANGED.items() if name in before}
            assert names == {**before, **changed, **dict(more)}
        else:
            assert names == sorted([*expected[kind], *more]), kind
