"""What a store did not take is kept in a folder, and delivered later: the command ``mu sync``."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from mu.errors import UserError
from mu.readers.documents import read_json
from mu.tags import ERROR, PROCESS
from mu.tracking.address import shown
from mu.tracking.recorder import Recorder
from mu.tracking.registered import register_as_asked
from mu.tracking.run_files import RunFiles
from mu.tracking.store import Store
from mu.tracking.telling import Entity, Teller
from mu.training.progress import FOLDER

KEPT_FILE = "undelivered.json"
FORMAT = "mu.undelivered/1"
PREFIX = "mu-"  # of scratch folders


def keep(recorder: Recorder, status: str, reason: str) -> None:
    """Write beside what is in the recorder's folder what else the store does not have.

    ``status``: how the run shall end. ``reason``: why it did not end well; empty if it did.
    """
    document = {
        "format": FORMAT,
        "store": shown(recorder.store.uri),
        "run_id": recorder.run_id,
        "process": recorder.process,
        "status": status,
        "reason": reason,
        "told": [_as_json(one) for one in recorder.kept()],
    }
    (recorder.folder / KEPT_FILE).write_text(json.dumps(document, indent=1) + "\n")


def kept_folders() -> list[Path]:
    """The folders of this user, among temporary ones, that hold something undelivered."""
    found = Path(tempfile.gettempdir()).glob(f"{PREFIX}*/{KEPT_FILE}")
    return sorted(one.parent for one in found if one.stat().st_uid == os.getuid())


def kept_run(folder: Path) -> str:
    """ID of the run that a folder holds something of; UserError if that cannot be read."""
    return str(_read(folder)["run_id"])


def deliver(store: Store, folder: Path) -> str:
    """Deliver what a folder holds, end its run, and remove the folder; says what was delivered.

    UserError if the folder holds nothing of that kind, or the run is of another store. What was
    delivered before is delivered once more where an earlier try did not come to its end.
    """
    document = _read(folder)
    run_id, status = document["run_id"], document["status"]
    run = store.run(run_id)
    if run.data.tags.get(PROCESS, "") != document["process"]:
        return f"run {run_id} was resumed since then, so nothing was delivered of {folder}"
    with store.answers():
        files = list(_deliver_files(RunFiles(store, run_id), folder, status))
        told = [_from_json(one) for one in document["told"]]
        Teller(store, run_id, lambda *_: None).tell([*told])  # a refused data set is no loss
        if status == "FINISHED":
            if ERROR in run.data.tags:
                store.client.delete_tag(run_id, ERROR)
            store.client.set_terminated(run_id, status)
        else:
            store.close(run_id, status, document["reason"])
    shutil.rmtree(folder)
    version = register_as_asked(store, run_id) if status == "FINISHED" else None
    counts = {"file": len(files)} | {
        word: sum(isinstance(one, kind) for one in told)
        for word, kind in (("number", Metric), ("parameter", Param), ("tag", RunTag))
    }
    words = ", ".join(f"{n} {word}{'' if n == 1 else 's'}" for word, n in counts.items() if n)
    registered = f" and {version}" if version else ""
    return f"run {run_id}: delivered {words or 'its end'}; it is {status}{registered}"


def _deliver_files(files: RunFiles, folder: Path, status: str) -> Iterator[str]:
    if status == "FINISHED":
        with suppress(Exception):  # costs only space
            files.remove_progress()
    for file in sorted(one for one in folder.rglob("*") if one.is_file()):
        path = file.relative_to(folder).as_posix()
        if path != KEPT_FILE and not (status == "FINISHED" and path.startswith(f"{FOLDER}/")):
            files.put(path, file.read_bytes())
            yield path


def _read(folder: Path) -> dict[str, Any]:
    try:
        document = dict(read_json((folder / KEPT_FILE).read_bytes()))
        if document["format"] != FORMAT:
            raise ValueError("its format is not one that this version of mu reads")
    except FileNotFoundError:
        raise UserError(
            f"{str(folder)!r} holds nothing that is to be delivered; name a folder that a run "
            "named at its end"
        ) from None
    except (ValueError, KeyError, TypeError, OSError) as error:
        raise UserError(f"{KEPT_FILE} in {str(folder)!r} cannot be read ({error})") from error
    return document


def _as_json(one: Entity) -> Sequence[Any]:
    if isinstance(one, Metric):
        return "metric", one.key, one.value, one.timestamp, one.step
    if isinstance(one, DatasetInput):
        data = one.dataset
        use = [(tag.key, tag.value) for tag in one.tags]
        return "input", data.name, data.digest, data.source_type, data.source, data.profile, use
    return "param" if isinstance(one, Param) else "tag", one.key, one.value


def _from_json(values: Sequence[Any]) -> Entity:
    kind, *rest = values
    if kind == "input":
        name, digest, kind, source, profile, use = rest
        data = Dataset(name, digest, kind, source, profile=profile)
        return DatasetInput(data, [InputTag(*tag) for tag in use])
    found: Entity = {"metric": Metric, "param": Param, "tag": RunTag}[kind](*rest)
    return found
