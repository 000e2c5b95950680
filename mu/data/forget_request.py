"""What to forget: a request such as ``class:3``, and the samples that it means."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mu.data import COPIES, IN_FILES
from mu.data.class_names import Named, labels_of
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Indices
from mu.data.lists import numbers_of, read_indices
from mu.data.manifest import Manifest, listed
from mu.data.planted import PlantedDataset
from mu.data.splits import Split
from mu.errors import UserError
from mu.readers.paths import checked_path

SPELLINGS = (
    "class:3, class:0,3,7, class:3:200, random:450, random:10%, indices:FILE, files:FILE, "
    "suspects:RUN_ID, vulnerable:30:RUN_ID, canary:20, confusion:3,5:20"
)
POISON = "poison"  # of a poisoned original: its poisoned samples
CANARY = "canary"  # of an original with wrong labels planted in so many samples: these
CONFUSION = "confusion"  # of an original with so many labels of two classes exchanged: these
PLANTED = (POISON, CANARY, CONFUSION)
OPTIONS = {CANARY: "canaries", CONFUSION: "confusion"}  # of prune, that plant them
# Kinds of lists that a run holds: how they are written, and what the run says of the samples.
LISTS = {
    "suspects": (re.compile(r"(?P<run>[0-9a-zA-Z]+)(:(?P<count>[1-9]\d{0,17}))?"), "suspects"),
    "vulnerable": (
        re.compile(r"(?P<count>[1-9]\d{0,17}):(?P<run>[0-9a-zA-Z]+)"),
        "knows the memorisation of",
    ),
}


@dataclass(frozen=True)
class ForgetRequest:
    """A checked spelling of a forget set; which samples it means depends on the data."""

    # ``class``, ``random``, ``indices``, ``files``, ``suspects``, ``vulnerable``, ``poison``,
    # ``canary`` or ``confusion``.
    kind: str
    # text, option: as it was typed, and the name of the option.
    text: str
    option: str = "forget"
    # Name or number of the class, of ``class``; or several, with commas; of ``confusion``, two.
    class_name: str | None = None
    # count, share: how many samples, or which share of the training set (0-1); None for all. Of
    # several classes, how many of them together; of ``confusion``, how many of each.
    count: int | None = None
    share: float | None = None
    file: Path | None = None  # of ``indices`` and ``files``
    # Whether exact copies of forgotten files are forgotten too (``forget``), or retained
    # (``keep``).
    duplicates: str = COPIES[0]
    # run_id, numbers: of a list of :data:`LISTS`: the run that holds it, and the sample numbers in
    # its order, once they were read from it; of these the first ``count``.
    run_id: str | None = None
    numbers: tuple[int, ...] | None = None

    @classmethod
    def parse(cls, text: str, option: str = "forget", duplicates: str = COPIES[0]) -> ForgetRequest:
        """Read a request as it is typed.

        ``option``: what it was typed for, if not to choose a forget set; ``poison`` is then no
        request. UserError if the spelling is unknown or a number is out of range.
        """
        kind, _, rest = text.partition(":")
        if text == POISON and option == "forget":
            return cls("poison", text, duplicates=duplicates)
        if kind in PLANTED and option != "forget":
            raise UserError(f"{option}={text!r} is not understood; write one of {SPELLINGS}")
        made = partial(cls, kind, text, option, duplicates=duplicates)
        of_classes = kind in ("class", CONFUSION)
        name, _, count = rest.rpartition(":") if of_classes else ("", "", rest)
        if re.fullmatch(r"\d{1,18}", count) and (name or kind in ("random", CANARY)):
            if int(count) == 0:
                raise UserError(f"{option}={text!r}: give at least one sample to {option}")
            return made(class_name=name or None, count=int(count))
        if kind == "class" and rest:
            return made(class_name=rest)
        if kind == "random" and (found := re.fullmatch(r"(\d+(?:\.\d+)?)%", rest)):
            percent = float(found[1])
            if not 0 < percent < 100:
                raise UserError(f"{option}={text!r}: the share must be above 0 and below 100 %")
            return made(share=percent / 100)
        if kind in LISTS and (found := LISTS[kind][0].fullmatch(rest)):
            return made(run_id=found["run"], count=int(found["count"]) if found["count"] else None)
        if kind in IN_FILES and rest:
            return made(file=checked_path(option, rest))
        raise UserError(f"{option}={text!r} is not understood; write one of {SPELLINGS}")

    def cut(self, dataset: ImageDataset, split: Split, seed: int) -> ForgetSplit:
        """The training set of a model, cut by this request.

        Copies of the files that are meant are found by their bytes, and forgotten too unless
        ``duplicates`` says otherwise. Parameters and errors are those of :meth:`select`.
        """
        chosen = self.select(dataset, split, seed)
        if dataset.manifest is None or self.kind in PLANTED:  # a copy was not changed
            return ForgetSplit.of(dataset, split, chosen)
        copies = dataset.manifest.train.copies(chosen, split.train)
        forget = np.union1d(chosen, copies) if self.duplicates == COPIES[0] else chosen
        return replace(ForgetSplit.of(dataset, split, forget), copies=copies)

    def select(self, dataset: ImageDataset, split: Split, seed: int) -> Indices:
        """The sample numbers meant, sorted.

        ``split``: the split of the training set; only its ``train`` part can be forgotten.
        ``seed``: of the random choices; the split's seed, so that every method and its oracle
        forget the same samples. UserError if a class does not exist or is named twice, more is
        asked than there is, a sample was never trained on, or the index file is not a list of
        sample numbers.
        """
        if self.file is not None:
            return self._checked(self._numbers(self.file, dataset, split), dataset, split)
        if self.kind in LISTS:
            return self._checked(self._listed(), dataset, split)
        if self.kind in PLANTED:
            return self._planted(dataset, split)
        of_class, pool = "", split.train
        if self.class_name is not None:
            of_class, pool = f"of class {self.class_name} ", self._of_classes(dataset, split)
        count = len(pool) if self.count is None else self.count
        if self.share is not None:
            count = max(1, round(self.share * len(pool)))
        if count > len(pool):
            raise UserError(
                f"{self.option}: {count} samples are asked for, but there are only {len(pool)} "
                f"{of_class}in the training set; ask for fewer"
            )
        drawn = np.random.default_rng([seed, 1]).permutation(len(pool))[:count]
        return np.sort(pool[drawn])

    def _listed(self) -> Indices:
        """The first samples of a run's list, as many as are wanted."""
        if self.numbers is None:  # whoever knows runs has not filled them in
            raise UserError(
                f"{self.option}={self.text}: the samples of a run are read by the entries only; "
                f"give a file: {self.option}=indices:FILE"
            )
        if self.count is not None and self.count > len(self.numbers):
            raise UserError(
                f"{self.option}={self.text}: the run {LISTS[self.kind][1]} {len(self.numbers)} "
                "samples; ask for fewer"
            )
        return np.array(self.numbers[: self.count], np.int64)

    @property
    def planting(self) -> dict[str, Any]:
        """The setting of an original that plants what is meant, by name; empty if none does."""
        return planting(self.text)

    def planted_in(self, dataset: Named) -> str:
        """The request in one spelling: two classes by their numbers, the lower one first.

        UserError if a class does not exist, or these are not two.
        """
        if self.kind != CONFUSION:
            return self.text if self.kind == POISON else f"{self.kind}:{self.count}"
        pair = sorted({label for _, label in labels_of(self.class_name or "", dataset)})
        if len(pair) != 2:
            raise UserError(
                f"{self.option}={self.text}: name two classes, with a comma between them"
            )
        return f"{CONFUSION}:{pair[0]},{pair[1]}:{self.count}"

    def _planted(self, dataset: ImageDataset, split: Split) -> Indices:
        """The changed samples of an original, if they were changed as is meant."""
        wanted = self.planted_in(dataset)
        there = dataset.planted.forget if isinstance(dataset, PlantedDataset) else "none"
        if wanted != there:
            raise UserError(_not_there(wanted, there))
        left = np.intersect1d(dataset.poisoned, split.train)
        if not len(left):
            raise UserError(f"forget={wanted}: all poisoned samples have been forgotten already")
        return left

    def _of_classes(self, dataset: ImageDataset, split: Split) -> Indices:
        named = labels_of(self.class_name or "", dataset)
        labels = dataset.train.labels.numpy()[split.train]
        for name, label in named:
            if label not in labels:
                raise UserError(
                    f"nothing of class {name} is left in the training set; choose another"
                )
        chosen = {label for _, label in named}
        if len(named) > len(chosen):
            raise UserError(f"{self.option}={self.text!r} names a class twice; once is enough")
        return split.train[np.isin(labels, sorted(chosen))]

    def _numbers(self, file: Path, dataset: ImageDataset, split: Split) -> Indices:
        if self.kind == "indices":
            return read_indices(file)
        if dataset.manifest is None:
            raise UserError(
                f"{self.option}={self.text}: the images of {dataset.name} are no files of their "
                "own; give sample numbers with indices:FILE"
            )
        return numbers_of(file, dataset.manifest, split.train)

    def _checked(self, numbers: Indices, dataset: ImageDataset, split: Split) -> Indices:
        """The numbers, sorted, if each is of a published sample that the model was trained on."""
        name = repr(self.text if self.file is None else str(self.file))
        size = len(dataset.train)
        if not len(numbers):
            raise UserError(f"{name} names no samples; give at least one to {self.option}")
        if len(out := numbers[(numbers < 0) | (numbers >= size)]):
            raise UserError(
                f"{name}: sample {out[0]} does not exist; numbers go from 0 to {size - 1}"
            )
        values, counts = np.unique(numbers, return_counts=True)
        if len(twice := np.flatnonzero(counts > 1)):
            raise UserError(
                f"{name} names sample {values[twice[0]]} {counts[twice[0]]} times; once is enough"
            )
        wrong = np.setdiff1d(values, split.train)
        if len(held := np.intersect1d(wrong, split.val)):
            why = f"in the validation part, never trained on, and is none to {self.option}"
            wrong = held
        else:
            why = "not trained on (left out by train_size or trained_on, or forgotten before)"
        if len(wrong):
            raise UserError(
                f"{name}: {_in_words(wrong, dataset.manifest)} {why}; remove from the list what "
                "stands here"
            )
        return values


def planting(request: str) -> dict[str, Any]:
    """The option of ``prune`` that plants what ``forget`` calls so, and its value, if one does."""
    kind, _, value = request.partition(":")
    return {OPTIONS[kind]: int(value) if kind == CANARY else value} if kind in OPTIONS else {}


def _not_there(wanted: str, there: str) -> str:
    """What to say where something else, or nothing, was planted in the original."""
    if wanted == POISON:
        return (
            f"forget={POISON}: the training set of this original was not poisoned; write one of "
            f"{SPELLINGS}, or make a poisoned original with mlflow run . -e backdoor"
        )
    kind, _, value = wanted.partition(":")
    has = "no" if there == "none" else f"other ({there}: forget these, or)"
    return (
        f"forget={wanted}: the training set of this original has {has} planted labels; leave the "
        f"original out, and unlearn trains one, or train one with {OPTIONS[kind]}={value} of prune"
    )


def _in_words(numbers: Indices, manifest: Manifest | None) -> str:
    """All the numbers in words, so that one reading is enough to mend a list."""
    shown = listed(numbers, manifest, most=200)
    return f"sample {shown} was" if len(numbers) == 1 else f"{len(numbers)} samples ({shown}) were"
