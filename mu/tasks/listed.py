"""Samples that a run lists, in its order: its suspects, or the samples most memorised."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from mu.checkpoints import Spec
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Indices
from mu.errors import UserError
from mu.evaluation.memorisation import most_memorised
from mu.evaluation.references import Kept
from mu.methods.base import Method
from mu.run_record import RunRecord
from mu.tracking import Store
from mu.tracking.reader import read_list


def forget_split(
    store: Callable[[], Store], spec: Spec, dataset: ImageDataset, request: ForgetRequest
) -> ForgetSplit:
    """What is to be forgotten; a list of a run is read from it, if one is requested."""
    return spec.forget_split(dataset, resolved(store, request, dataset))


def ranked(store: Callable[[], Store], method: Method, split: ForgetSplit) -> ForgetSplit:
    """The split, with the samples by memorisation where the method wants a run to tell it.

    UserError if that run does not.
    """
    if method.ranked_by is None:
        return split
    record = read_list(store(), method.ranked_by, "vulnerable", split.dataset.fingerprint)
    return replace(split, ranked=memorised(record))


def resolved(
    store: Callable[[], Store], request: ForgetRequest, dataset: ImageDataset
) -> ForgetRequest:
    """The request, with the sample numbers where it is for the list of a run.

    UserError if the run holds no such list, or one of other data, or nothing is on it.
    """
    if request.run_id is None:
        return request
    record = read_list(store(), request.run_id, request.kind, dataset.fingerprint)
    numbers = record.suspects if request.kind == "suspects" else memorised(record)
    if not len(numbers):
        raise UserError(f"{request.option}={request.text}: run {record.run_id} suspects nobody")
    return replace(request, numbers=tuple(numbers.tolist()))


def memorised(record: RunRecord) -> Indices:
    """The training samples that the references of a lira run saw or did not, most memorised first.

    UserError if they cannot be read from the run.
    """
    try:
        kept = Kept.read(record.read, int(record.params["references"]))
        order = most_memorised(kept.right, kept.margins, kept.seen)
    except (KeyError, ValueError, UserError) as error:
        raise UserError(
            f"run {record.run_id} does not tell which samples are memorised ({error}); attack "
            "again: mlflow run . -e lira -P unlearn_run_id=ID"
        ) from error
    return kept.samples[order]
