"""The names that a small run of each entry writes: parameters, tags, metrics, artifacts, inputs.

The files beside this one hold those of commit 01872e7, and under ``added`` what came later. As a
program this file needs nothing of the tests, so that it runs with the code of any commit::

    cd WORKTREE && PYTHONPATH=$PWD python PATH/record.py old    (makes the files anew)
    cd WORKTREE && PYTHONPATH=$PWD python PATH/record.py added  (adds what is new in this code)
"""

from __future__ import annotations

import json
import os
import re
import sys
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

FILES = Path(__file__).parent
# Each run uses those before it, by the names in braces; {folder} is a folder for files.
RUNS = {
    "prune": "prune --epochs 2 --train_size 200",
    "oracle": "unlearn --prune_run_id {prune} --method retrain --forget class:3",
    "unlearn": "unlearn --prune_run_id {prune} --epochs 1 --shrink 2 --forget class:3",
    "_oracle": "unlearn --prune_run_id {prune} --method retrain --forget class:3 --seed 1",
    "_unlearn": "unlearn --prune_run_id {prune} --epochs 1 --shrink 2 --forget class:3 --seed 1",
    "evaluate": "evaluate --run_id {unlearn} --metrics all --run_ids {_unlearn} "
    "--oracle_run_ids {_oracle}",
    "lira": "lira --unlearn_run_id {unlearn} --references 2",
    "backdoor": "backdoor --prune_epochs 1 --prune_train_size 200 --method ft --epochs 1 --lr 0.1 "
    "--oracle_run_id train",
    "transfer": "transfer --unlearn_run_id {unlearn} --target digits --transfer_epochs 1",
    "compare": "compare --run_ids {oracle},{unlearn}",
    "dataset": "dataset --source {folder}/images --out {folder}/images.lmdb",
    "import": "import {weights} --train_size 200 --epochs 2",
    "sweep": "sweep --grid {folder}/grid.yaml",
}
GRID = """
originals: {epochs: 2, train_size: 200}
forget: [class:3]
methods: [ga, ff, iu, {ft: {epochs: 1, lr: 0.1}}]
oracle: none
"""
ENTRIES = {"import": "prune"}  # what the runs of an entry call it
GIT = "mlflow.source.git."  # MLflow's, where it finds a repository and a branch
WITHOUT_DEVICE = {"compare", "dataset"}
OTHERS = {"folder", "weights", "_oracle", "_unlearn"}  # files, and second seeds of runs above


def perform(folder: Path) -> dict[str, str]:
    """Make all runs in the store that the environment names; their run IDs by name.

    A run that another one opened is named after both, as backdoor/prune.
    """
    from PIL import Image

    from mu.tracking import connect

    store = connect()
    (folder / "grid.yaml").write_text(GRID)
    for path in (folder / "images" / "dark" / "1.png", folder / "images" / "light" / "1.png"):
        path.parent.mkdir(parents=True)
        Image.new("L", (8, 8), len(path.parent.name)).save(path)
    made = {"folder": str(folder)}
    for name, line in RUNS.items():
        entry, *arguments = line.format(**made).split()
        if entry not in WITHOUT_DEVICE:
            arguments += ["--device", "cpu"]
        _call(entry, arguments)
        for run in store.search(""):
            if run.info.run_id not in made.values():
                opened = run.data.tags["mu.entry"]
                key = name if opened == ENTRIES.get(entry, entry) else f"{name}/{opened}"
                if opened == "unlearn" and entry != opened:
                    key = f"{name}/{run.data.params['method']}"
                assert key not in made, key
                made[key] = run.info.run_id
        if name == "prune":
            made["weights"] = store.client.download_artifacts(
                made[name], "checkpoint/model.safetensors", str(folder)
            )
    return {name: run_id for name, run_id in made.items() if name not in OTHERS}


def _call(entry: str, arguments: list[str]) -> None:
    module = "mu.cli.importing" if entry == "import" else f"entrypoints.{entry}"
    try:
        import_module("mu.cli.main").run(import_module(module).build, arguments)
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"{entry} {arguments} ended with {ended.code}") from ended


def names(run_id: str, folder: Path) -> dict[str, Any]:
    """The names of a run, sorted; of parameters also the values, without IDs and ``folder``."""
    from mlflow import MlflowClient
    from mlflow.utils.file_utils import local_file_uri_to_path

    run = MlflowClient(os.environ["MLFLOW_TRACKING_URI"]).get_run(run_id)
    root = Path(local_file_uri_to_path(run.info.artifact_uri))
    files = [path for path in root.rglob("*") if path.is_file()]
    inputs = {
        f"{one.dataset.name}: {', '.join(sorted(tag.value for tag in one.tags))}"
        for one in run.inputs.dataset_inputs
    }
    values = {name: _plain(text, folder) for name, text in run.data.params.items()}
    return {
        "params": dict(sorted(values.items())),
        "tags": sorted(name for name in run.data.tags if not name.startswith(GIT)),
        "metrics": sorted(run.data.metrics),
        "artifacts": sorted(_plain(str(path.relative_to(root)), folder) for path in files),
        "inputs": sorted(_plain(text, folder) for text in inputs),
    }


def _plain(text: str, folder: Path) -> str:
    return re.sub("[0-9a-f]{32}", "ID", text.replace(str(folder), "FOLDER"))


def golden(run: str) -> Path:
    """The file of a run."""
    return FILES / f"{run.replace('/', '-')}.json"


def added(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """What ``new`` has and ``old`` has not."""
    more: dict[str, Any] = {}
    for kind, there in new.items():
        extra = [name for name in there if name not in old[kind]]
        if extra:
            more[kind] = {name: there[name] for name in extra} if kind == "params" else extra
    return more


def main(which: str) -> None:
    """Make the files, or their part ``added``, with the code that is imported."""
    with tempfile.TemporaryDirectory() as text:
        folder = Path(text)
        os.chdir(folder)  # an SQLite store keeps its artifacts there
        os.environ["MLFLOW_TRACKING_URI"] = f"sqlite:///{folder}/mlflow.db"
        for run, run_id in perform(folder).items():
            path, found = golden(run), names(run_id, folder)
            if which == "added":
                old = json.loads(path.read_text())
                document = {**old, "added": added(old, found)}
            else:
                document = {**found, "added": {}}
            path.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
