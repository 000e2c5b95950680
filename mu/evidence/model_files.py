"""Whether the files of a network are those that a bundle is on."""

from __future__ import annotations

import hashlib
from pathlib import Path

from mu.errors import UserError
from mu.evidence.bundle import MODEL, STATEMENT, Bundle, is_of_model
from mu.evidence.statement import read_subjects
from mu.evidence.verify import Check

FOLDER = "checkpoint/"


def model_check(bundle: Bundle, folder: Path) -> Check:
    """Hold the files of a model against a bundle that was checked.

    ``folder``: a run's artifacts, with ``checkpoint/`` and ``mask/``, or a checkpoint alone, of
    which then no mask is looked at. UserError if it cannot be read.
    """
    subjects = read_subjects(bundle.files[STATEMENT])
    stated = {
        name.removeprefix(MODEL): digest for name, digest in subjects.items() if is_of_model(name)
    }
    if not (folder / FOLDER).is_dir():
        stated = {
            name.removeprefix(FOLDER): digest
            for name, digest in stated.items()
            if name.startswith(FOLDER)
        }
    if not stated:
        return Check("model", False, "the statement names no file of a model")
    for name, digest in stated.items():
        if not (path := folder / name).is_file():
            return Check("model", False, f"{folder} has no {name}, which the statement is on")
        if (found := _digest(path)) != digest:
            return Check(
                "model",
                False,
                f"a bundle of another model: {name} has sha256 {found[:16]}..., and "
                f"{digest[:16]}... is stated",
            )
    return Check("model", True, f"{', '.join(stated)} are those of the statement")


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); give a model") from error
