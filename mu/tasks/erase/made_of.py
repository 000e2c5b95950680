"""Whether what a training left in its run was made of the records, as far as that can be known."""

from __future__ import annotations

from pathlib import PurePath

import numpy as np

from mu.errors import UserError
from mu.evaluation.references import FOLDER as REFERENCES
from mu.evaluation.references import MODELS_FILE
from mu.methods import ORACLE_METHOD, check_method
from mu.readers.arrays import read_npz
from mu.readers.documents import read_json
from mu.run_record import RunRecord
from mu.spec import Spec
from mu.tasks.erase.lineage import Lineage
from mu.tracking.resuming import DOCUMENT_FILE
from mu.tracking.run_files import RunFiles
from mu.training.progress import FOLDER as PROGRESS


def made_of(run: RunRecord, folder: str, files: RunFiles, lineage: Lineage) -> bool | None:
    """Whether a folder that training left holds a record; None where nothing shows it."""
    try:
        if folder == REFERENCES:
            return _attacked(run, lineage)
        if files.names(PROGRESS) == [PurePath(DOCUMENT_FILE).name]:
            return False  # it says what the run was to do, and holds no network
        return _trained(run, lineage)
    except (UserError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _attacked(run: RunRecord, lineage: Lineage) -> bool:
    """Of references: whether their outputs on a record are kept; no network of theirs is."""
    arrays = read_npz(run.read(MODELS_FILE))
    parts = [arrays[one] for one in ("forget", "retained", "population") if one in arrays]
    return bool(np.isin(lineage.numbers, np.concatenate(parts)).any())


def _trained(run: RunRecord, lineage: Lineage) -> bool:
    """Of the progress of a training: whether its network was trained on a record."""
    document = read_json(run.read(DOCUMENT_FILE))
    if "spec" in document:
        return lineage.trains(Spec.from_dict(document["spec"]))
    source = lineage.runs[document["prune_run_id"]]
    if check_method(document["method"]) == ORACLE_METHOD:
        return lineage.trains(source.spec.without(np.array(document["indices"]), ORACLE_METHOD))
    return lineage.knows(source).may_hold
