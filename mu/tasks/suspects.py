"""Suspects: a detector is asked about an original, and what it finds is kept, shown and read."""

from __future__ import annotations

import hashlib
import io
import sys
from collections.abc import Mapping
from typing import Any

import numpy as np

from mu import tags
from mu.checkpoints import Checkpoint
from mu.cli.requests import Request
from mu.data import COPIES
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset
from mu.detection import PREFIX, detector_class, make_detector
from mu.detection.activations import precision_and_recall
from mu.detection.base import Detector, Suspects
from mu.errors import UserError
from mu.hyperparameters import typed_as
from mu.report.contact_sheet import plot_suspects
from mu.rounding import rounded
from mu.run_record import SUSPECTS_FILE
from mu.runs import Run
from mu.tasks.outputs import write_csv
from mu.tasks.problem import UnlearningProblem
from mu.tracking import Recorder, fingerprint_tag

COLUMNS = ("rank", "sample", "file", "class", "score")


class Search:
    """A search for suspects: it is made once the network is there, and what it finds is kept.

    ``name``: of the detector; its settings are those of the request. ``duplicates``: as of
    :class:`ForgetRequest`, for exact copies of what is suspected. UserError if settings are wrong,
    or of another detector.
    """

    def __init__(self, name: str, request: Request, duplicates: str = COPIES[0]) -> None:
        with typed_as(PREFIX, detector_class(name).names()):
            self.detector: Detector = make_detector(name, request.suspects)
        self.duplicates = duplicates
        self.found: Suspects | None = None

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> Search:
        """The search with these options, by the names of the command line."""
        name = options["suspects"]
        settings = {n: options[PREFIX + n] for n in detector_class(name).names()}
        return cls(name, Request(suspects=settings), options.get("duplicates", COPIES[0]))

    def options(self) -> dict[str, Any]:
        """By the names of the command line."""
        settings = self.detector.as_dict().items()
        return {"suspects": self.detector.name, **{PREFIX + n: value for n, value in settings}}

    def run(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> Suspects:
        """Look for suspects among the samples that the network was trained on."""
        self.found = self.detector.suspect(checkpoint, dataset, run)
        return self.found

    def split(self, checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> ForgetSplit:
        """The split that forgets them; UserError if there are none."""
        found = self.run(checkpoint, dataset, run)
        if not len(found.numbers):
            raise UserError(
                f"suspects={self.detector.name} suspects nobody, so there is nothing to forget: "
                f"{run.notes[-1]}"
            )
        return self._split(checkpoint, dataset, found)

    def _split(self, checkpoint: Checkpoint, dataset: ImageDataset, found: Suspects) -> ForgetSplit:
        """The split that forgets what was found and, unless they are to be kept, its copies."""
        name, numbers = self.detector.name, tuple(found.numbers.tolist())
        wanted = ForgetRequest(
            "suspects", name, "suspects", duplicates=self.duplicates, numbers=numbers
        )
        return checkpoint.spec.forget_split(dataset, wanted)

    def repeat(self, recorder: Recorder, problem: UnlearningProblem) -> None:
        """Look again in an interrupted run, and keep what is found: the same, on such a device."""
        run = Run(**problem.device.as_dict())
        found = self.run(problem.checkpoint, problem.dataset, run)
        again = self._split(problem.checkpoint, problem.dataset, found)
        if np.array_equal(again.forget, problem.split.forget):
            self.save(recorder, problem.dataset)
        else:
            print(
                "warning: on this device other samples are suspected than when the run began; it "
                "forgets those of then, and keeps no ranked list",
                file=sys.stderr,
            )

    def save(self, recorder: Recorder, dataset: ImageDataset) -> None:
        """Put the list, and a sheet of the first images, among the run's artifacts."""
        if self.found is None:
            return
        folder = recorder.folder / "suspects"
        write_csv(folder / "suspects.csv", rows_of(self.found, dataset), COLUMNS)
        file = io.BytesIO()
        np.save(file, self.found.numbers, allow_pickle=False)
        (recorder.folder / SUSPECTS_FILE).write_bytes(file.getvalue())
        recorder.tags({tags.SUSPECTS: fingerprint_tag(hashlib.sha256(file.getvalue()).hexdigest())})
        if len(self.found.numbers):
            plot_suspects(dataset, self.found, folder / "sheet.png")


def rows_of(
    found: Suspects, dataset: ImageDataset, most: int | None = None
) -> list[dict[str, Any]]:
    """The first suspects, by default all, with the names of :data:`COLUMNS`."""
    labels = dataset.train.labels.numpy()
    pairs = zip(found.numbers[:most].tolist(), found.scores[:most].tolist(), strict=True)
    return [
        {
            "rank": rank,
            "sample": number,
            "file": name_of(dataset, number),
            "class": dataset.classes[labels[number]],
            "score": rounded(score),
        }
        for rank, (number, score) in enumerate(pairs, 1)
    ]


def name_of(dataset: ImageDataset, number: int) -> str:
    """The file of a training sample, where it has one; else nothing."""
    return "" if dataset.manifest is None else dataset.manifest.train.names[number]


def quality(found: Suspects, dataset: ImageDataset) -> dict[str, float]:
    """How many there are; and how right that is, where it is known which samples are poisoned."""
    numbers = {"suspects": float(len(found.numbers))}
    if len(dataset.poisoned) and len(found.numbers):
        numbers |= precision_and_recall(found.numbers, dataset.poisoned)
    return numbers
