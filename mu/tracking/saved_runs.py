"""Finished runs as a small file, and back into a store: numbers last longer than machines.

One line a run, of the experiment that mu uses: name, times, parameters, last values of metrics,
tags, and small artifacts (JSON and masks), never weights. Loaded runs have IDs of their own, and
refer to each other as the saved ones did. Then ``claims``, ``compare`` and ``mu runs`` know them,
and a sweep counts them as finished; what needs a network says that it is not there.
"""

from __future__ import annotations

import base64
import json
import lzma
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, Run, RunStatus, RunTag

from mu import tags
from mu.tracking.store import FINISHED, Store

LOADED = "mu.loaded_from"  # tag of a loaded run: the ID it was saved under
LARGEST = 200_000  # bytes of an artifact that is kept
ENTRIES = ("prune", "unlearn", "evaluate", "lira", "backdoor", "transfer")  # in order of need
MOST_PARAMS = 100  # of a request
PREFIX = "mlflow."  # of MLflow's own tags, which it sets itself


def _is_text(path: str) -> bool:
    return path.endswith(".json")


def small_artifacts(store: Store, run_id: str, folder: str = "") -> Iterator[tuple[str, str]]:
    """Paths and contents of a run's JSON files and mask, but for its progress."""
    for one in store.client.list_artifacts(run_id, folder or None):
        if one.is_dir and one.path not in ("resume", "plots"):
            yield from small_artifacts(store, run_id, one.path)
        elif one.path.endswith((".json", "mask.safetensors")) and (one.file_size or 0) <= LARGEST:
            with tempfile.TemporaryDirectory() as place:
                content = Path(
                    store.client.download_artifacts(run_id, one.path, place)
                ).read_bytes()
            text = content if _is_text(one.path) else base64.b64encode(content)
            yield one.path, text.decode()


def written(store: Store, run: Run) -> dict[str, Any]:
    """A run as it is saved."""
    kept = {name: v for name, v in run.data.tags.items() if not name.startswith(PREFIX)}
    return {
        "run_id": run.info.run_id,
        "name": run.info.run_name,
        "start": run.info.start_time,
        "end": run.info.end_time,
        "params": dict(sorted(run.data.params.items())),
        "metrics": dict(sorted(run.data.metrics.items())),
        "tags": dict(sorted(kept.items())),
        "artifacts": dict(sorted(small_artifacts(store, run.info.run_id))),
    }


def save(store: Store, path: Path) -> int:
    """Save every finished run of the experiment; returns how many."""
    runs = [run for entry in ENTRIES for run in store.find({tags.ENTRY: entry}, FINISHED)]
    runs.sort(key=lambda run: run.info.start_time)
    lines = [json.dumps(written(store, run)) for run in runs]
    with lzma.open(path, "wt", encoding="utf-8") as file:  # holds no time: same runs, same file
        file.writelines(f"{line}\n" for line in lines)
    return len(lines)


def load(store: Store, path: Path) -> tuple[int, int]:
    """Make the runs of a file; returns how many were made, and how many were there already."""
    with lzma.open(path, "rt", encoding="utf-8") as file:
        saved = [json.loads(line) for line in file]
    ids = _here(store)
    ids |= {one["run_id"]: ids[origin(one)] for one in saved if origin(one) in ids}
    new = [one for one in saved if one["run_id"] not in ids]
    for one in new:
        run = store.client.create_run(store.experiment_id, one["start"], run_name=one["name"])
        ids[one["run_id"]] = run.info.run_id
    for one in new:
        _fill(store, one, ids)
    return len(new), len(saved) - len(new)


def origin(one: Mapping[str, Any]) -> str:
    """The ID under which a run was first saved, however often it was loaded since."""
    return str(one["tags"].get(LOADED, one["run_id"]))


def _here(store: Store) -> dict[str, str]:
    """The store's runs, by their IDs and by those under which they were saved."""
    runs = [run for entry in ENTRIES for run in store.find({tags.ENTRY: entry}, FINISHED)]
    own = {run.info.run_id: run.info.run_id for run in runs}
    loaded = {run.data.tags[LOADED]: run.info.run_id for run in runs if LOADED in run.data.tags}
    return own | loaded


def _fill(store: Store, one: Mapping[str, Any], ids: Mapping[str, str]) -> None:
    """Give a new run all that was saved of it, with the IDs of its companions here."""

    def here(text: str) -> str:
        for old, new in ids.items():
            text = text.replace(old, new)
        return text

    run_id, client = ids[one["run_id"]], store.client
    metrics = [Metric(name, value, one["end"], 0) for name, value in one["metrics"].items()]
    params = [Param(name, here(value)) for name, value in one["params"].items()]
    client.log_batch(run_id, metrics)
    for start in range(0, len(params), MOST_PARAMS):
        client.log_batch(run_id, params=params[start : start + MOST_PARAMS])
    with tempfile.TemporaryDirectory() as place:
        for path, kept in one["artifacts"].items():
            file = Path(place) / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(here(kept).encode() if _is_text(path) else base64.b64decode(kept))
        client.log_artifacts(run_id, place)
    # The tags make the run known to mu, so they come last.
    known = {name: here(value) for name, value in one["tags"].items()} | {LOADED: origin(one)}
    client.log_batch(run_id, tags=[RunTag(name, value) for name, value in known.items()])
    client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED), one["end"])
