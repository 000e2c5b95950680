"""What else holds the records, or was made of them: found, and removed where mu may."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import numpy as np

from mu.cache import cache_folder
from mu.data.files.cache import cached_files
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.evaluation.references import FOLDER as REFERENCES
from mu.readers.documents import read_json
from mu.report.contact_sheet import MOST_SUSPECTS
from mu.report.run_page.pictures import shown_samples
from mu.run_record import RunRecord
from mu.tags import DATA, SPEC, SUSPECTS, fingerprint_tag
from mu.tasks.erase.lineage import Lineage
from mu.tasks.erase.made_of import made_of
from mu.tasks.records import RECORDS_FILE
from mu.tracking import Store
from mu.tracking.kept import kept_folders, kept_run
from mu.tracking.resuming import DOCUMENT_FILE
from mu.tracking.run_files import RunFiles
from mu.tracking.store import reason
from mu.training.progress import FOLDER as PROGRESS

Kind = Literal[
    "progress", "references", "records", "names", "thumbnails", "checkpoint", "deleted_run",
    "undelivered", "cache", "dataset_copy",
]  # fmt: skip
# Folders that training leaves.
WHOLE: Mapping[str, Kind] = {PROGRESS: "progress", REFERENCES: "references"}
PAGE = "report/report.html"
RUNNING = "the run is RUNNING, and it may still need it"
UNKNOWN = "nothing shows whether it was made of the records"
GC = "mlflow gc removes it once the run is deleted"


@dataclass(frozen=True)
class Leftover:
    """Something that is left beside the networks."""

    kind: Kind
    where: str  # an artifact's path in its run, or a path on this machine
    run_id: str | None
    removable: bool  # whether mu may remove it
    note: str = ""  # what else is to be said: why not, and what removes it
    removed_at: datetime | None = None


def leftovers_of(
    store: Store,
    dataset: ImageDataset,
    lineage: Lineage,
    runs: Sequence[RunRecord],
    gone: Sequence[RunRecord],
) -> list[Leftover]:
    """Everything that is left of the records of a lineage; ``gone``: runs that were deleted."""
    mine = [run for run in runs if _is_about(run, dataset)]
    found = [one for run in mine for one in _of_run(store, run, dataset, lineage)]
    found += [
        Leftover("deleted_run", "all of it", run.run_id, False, GC)
        for run in gone
        if (lineage.knows(run).may_hold if SPEC in run.tags else _is_about(run, dataset))
    ]
    found += [one for run in runs for one in _exported(run, lineage)]
    found += _undelivered({run.run_id for run in mine})
    again = "made again when the data set is loaded, while its archive is there"
    found += [Leftover("cache", str(o), None, True, again) for o in cached_files(dataset.name)]
    return found + [one for run in runs if run.entry == "dataset" for one in _copy(run, dataset)]


def _is_about(run: RunRecord, dataset: ImageDataset) -> bool:
    """Whether a run is about the data; a prune run says so in a tag once it has ended well."""
    if DATA in run.tags or run.status == "FINISHED" or run.entry != "prune":
        return run.tags.get(DATA) == fingerprint_tag(dataset.fingerprint)
    try:
        data = read_json(run.read(DOCUMENT_FILE))["spec"]["data"]["fingerprint"]
    except (UserError, ValueError, KeyError, TypeError):  # it was stopped before it began
        return False
    return bool(data == dataset.fingerprint)


# --- in a run -----------------------------------------------------------------------------


def _of_run(
    store: Store, run: RunRecord, dataset: ImageDataset, lineage: Lineage
) -> Iterator[Leftover]:
    """What a run on this data keeps."""
    kept, numbers = RunFiles(store, run.run_id, run.artifacts or None), lineage.numbers
    there, idle = set(kept.names()), run.status != "RUNNING"
    found = dict.fromkeys(_naming(run, there, numbers).items(), "")
    for where, kind in WHOLE.items():
        if where in there and (made := made_of(run, where, kept, lineage)) is not False:
            found[where, kind] = "" if made else UNKNOWN
    for (where, kind), note in found.items():
        yield Leftover(kind, where, run.run_id, idle, note if idle else RUNNING)
    if "poisoned" in there:
        note = f"weights of the poisoned original; {GC}"
        yield Leftover("checkpoint", "poisoned", run.run_id, False, note)
    if dataset.manifest is not None:
        note = f"names and sha256 of files; {GC}"
        if "data" in there:
            yield Leftover("names", "data/manifest.csv", run.run_id, False, note)
        if "forget" in there and _forgets(run, numbers):
            yield Leftover("names", "forget/files.csv", run.run_id, False, note)


def _naming(run: RunRecord, there: set[str], numbers: Indices) -> dict[str, Kind]:
    """Artifacts that name or show one of the records, and what they are."""
    found: dict[str, Kind] = {}
    if RECORDS_FILE in there and _lists(run, RECORDS_FILE, numbers):
        found[RECORDS_FILE] = "records"
    if "report" in there and _shows(run, numbers):
        found[PAGE] = "thumbnails"
    if SUSPECTS in run.tags and "suspects" in there:
        found |= _suspected(run, numbers)
    return found


def _lists(run: RunRecord, path: str, numbers: Indices) -> bool:
    """Whether a table of samples has one of the records; also where it cannot be read."""
    try:
        rows = csv.DictReader(run.read(path).decode(errors="replace").splitlines())
        return bool({int(row["sample"]) for row in rows} & set(numbers.tolist()))
    except (UserError, ValueError, KeyError, TypeError, csv.Error):
        return True


def _shows(run: RunRecord, numbers: Indices) -> bool:
    """Whether the page of an unlearning has a picture of one of the records."""
    try:
        content = run.read(PAGE)
    except UserError:  # other runs have a folder of this name, too
        return False
    return bool(shown_samples(content) & set(numbers.tolist()))


def _suspected(run: RunRecord, numbers: Indices) -> dict[str, Kind]:
    try:
        named = np.isin(run.suspects, numbers)
    except UserError:
        named = np.ones(1, bool)
    sheet: dict[str, Kind] = {}
    if named[:MOST_SUSPECTS].any():
        sheet = {"suspects/sheet.png": "thumbnails"}
    return {**sheet, "suspects/suspects.csv": "records"} if named.any() else {}


def _forgets(run: RunRecord, numbers: Indices) -> bool:
    try:
        return bool(np.isin(run.forget_indices, numbers).any())
    except UserError:
        return True


# --- elsewhere ----------------------------------------------------------------------------


def _undelivered(mine: set[str]) -> Iterator[Leftover]:
    for folder in kept_folders():
        with suppress(UserError):
            if (run_id := kept_run(folder)) in mine:
                note = f"mu sync {folder} delivers it and removes the folder"
                yield Leftover("undelivered", str(folder), run_id, False, note)


def _copy(run: RunRecord, dataset: ImageDataset) -> Iterator[Leftover]:
    """The file of images that a run built of this data; that is source data, which mu leaves."""
    out = run.params.get("out", "none")
    if out == "none" or run.status != "FINISHED":
        return
    try:
        source = str(read_json(run.read("card.json"))["source"])
    except (UserError, ValueError, KeyError, TypeError):
        return
    places = {dataset.data_dir, None if dataset.manifest is None else dataset.manifest.root}
    mine = {os.path.realpath(Path(one).expanduser()) for one in places if one}
    if dataset.fingerprint in source or mine & {os.path.realpath(one) for one in (source, out)}:
        place = Path(out).expanduser().absolute()
        note = "remove it, and its .sha256, yourself; dataset builds one without the records"
        missing = "" if place.exists() else "not found on this machine; "
        yield Leftover("dataset_copy", str(place), run.run_id, False, missing + note)


def _exported(run: RunRecord, lineage: Lineage) -> Iterator[Leftover]:
    """The files that an export made of a network that holds the records."""
    source = lineage.upstream(run)
    if run.entry != "export" or source is None or not lineage.knows(source).may_hold:
        return
    what = "weights of an exported network"
    yield Leftover("checkpoint", "export", run.run_id, False, f"{what}; {GC}")
    if (out := run.params.get("out", "none")) != "none":
        place = Path(out).expanduser().absolute()
        missing = "" if place.exists() else "not found on this machine; "
        note = f"{missing}{what}; remove it yourself, and wherever it was copied to"
        yield Leftover("checkpoint", str(place), run.run_id, False, note)


# --- removing -----------------------------------------------------------------------------


def purge(store: Store, leftovers: Sequence[Leftover]) -> list[Leftover]:
    """Remove what may be removed; gives all, those removed with the time.

    What cannot be removed says why in its note. No source data is removed, and no checkpoint.
    """
    return [_purged(store, one) if one.removable else one for one in leftovers]


def _purged(store: Store, one: Leftover) -> Leftover:
    try:
        if one.run_id is None:
            if Path(one.where).parent != cache_folder():
                raise UserError("it is not in the cache")
            Path(one.where).unlink(missing_ok=True)
        elif store.run(one.run_id).info.status == "RUNNING":
            raise UserError(RUNNING)
        else:
            RunFiles(store, one.run_id).remove(one.where)
    except Exception as error:  # of whichever store or disk: others can still be removed
        return replace(one, note=f"not removed: {reason(store.uri, error)}")
    return replace(one, removed_at=datetime.now(UTC))
