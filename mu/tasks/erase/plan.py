"""What an erasure is to do, checked as far as it can be before a run is opened."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from mu.cli.requests import DeviceOptions, EraseOptions, Request
from mu.data import COPIES
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Indices
from mu.distributed.place import place
from mu.erasure.copies import NearCopies, copies_of, near_copies, no_near_copies
from mu.erasure.policy import Policy
from mu.erasure.records import (
    Record,
    read_request,
    refuse_everything,
    refuse_nothing_to_do,
    resolve,
    trained_numbers,
)
from mu.errors import UserError
from mu.evidence.signing import load_private_key
from mu.methods import ORACLE_METHOD
from mu.model_names import SCHEME, checked_alias
from mu.tasks.base import make_run
from mu.tasks.erase.before import Answered, answered_before
from mu.tasks.erase.method import Chosen, choose
from mu.tasks.listed import ranked
from mu.tasks.outputs import check_out
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tasks.resolve import data_of, tracked_model
from mu.tracking import Store
from mu.tracking.registered import Version, find_version

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

AHEAD = timedelta(minutes=5)  # by which the clock of whoever received the request may differ


@dataclass(frozen=True)
class ErasePlan:
    """One deletion request."""

    id: str
    store: Store
    options: EraseOptions
    policy: Policy
    key: EllipticCurvePrivateKey | None
    received: datetime
    model: TrackedModel  # that is to forget
    version: Version | None  # the registered one that was named
    dataset: ImageDataset
    records: Sequence[Record]
    split: ForgetSplit
    copies: Indices  # exact copies of records, whether they are forgotten or not
    near: NearCopies
    chosen: Chosen
    device: DeviceOptions
    listed: bytes  # the list of records, as it was given

    @property
    def due(self) -> datetime:
        """When the request is to be answered."""
        return self.received + timedelta(days=self.policy.days)

    @property
    def retrains(self) -> bool:
        """Whether the model is trained from scratch."""
        return self.chosen.method.name == ORACLE_METHOD

    @cached_property
    def problem(self) -> UnlearningProblem:
        """What the model is to forget."""
        forget = f"indices:{self.request_name}"
        model = self.model
        return UnlearningProblem(
            model.run_id, model.checkpoint, self.dataset, self.split, forget, self.device
        )

    @property
    def request_name(self) -> str:
        """Of the request, where a file's name might say too much."""
        return f"request-{self.id[:8]}"


def make_plan(
    store: Store, options: EraseOptions, request: Request, device: DeviceOptions
) -> ErasePlan | Answered:
    """Check what was requested, and find the records and their copies.

    Or the erasures that forgot all of them, where nothing is left to do.
    """
    if device.devices > 1 or place().size > 1:
        raise UserError("erase works in one process; leave devices out")
    policy = Policy.of_file(options.policy)
    key = None if options.key is None else load_private_key(Path(options.key))
    received = received_at(options.received)
    check_out(options.out)
    version, model = _model(store, options)
    if options.promote is not None:
        checked_alias("promote", options.promote)
    if options.promote is not None and version is None:
        raise UserError(
            f"promote={options.promote} moves an alias of a registered model; give "
            "model=models:/NAME@ALIAS"
        )
    spec = model.spec()
    dataset = data_of(spec, {"data_dir": options.data_dir})
    file = Path(str(options.records)).expanduser()
    entries, listed = read_request(file, options.subject), file.read_bytes()
    records = resolve(entries, dataset, spec)
    if answered := answered_before(store, model.run_id, records):
        return answered
    refuse_nothing_to_do(records)
    numbers, parts = trained_numbers(records), spec.split(dataset)
    copies = copies_of(numbers, dataset, parts)
    run = make_run(device)
    known = np.union1d(numbers, copies)
    near = no_near_copies()
    if policy.near_copies != "skip":
        try:
            near = near_copies(known, dataset, parts, model.checkpoint.model, run, policy.near_at)
        except UserError as error:
            raise UserError(f"{error}; or give a policy with near_copies: skip") from error
    forget = known if policy.copies == COPIES[0] else numbers
    if policy.near_copies == "forget":
        forget = np.union1d(forget, near.numbers)
    refuse_everything(forget, parts)
    split = ForgetSplit.of(dataset, parts, forget)
    chosen = choose(
        store,
        options.method,
        request.method,
        policy,
        (model.run_id, spec),
        whole_classes=bool(split.forgotten_classes),
    )
    split = ranked(lambda: store, chosen.method, split)
    chosen.method.check(split)
    return ErasePlan(
        str(uuid.uuid4()), store, options, policy, key, received, model, version, dataset,
        records, split, copies, near, chosen, device, listed,
    )  # fmt: skip


def _model(store: Store, options: EraseOptions) -> tuple[Version | None, TrackedModel]:
    """The model that is to forget, and its registered version where it was named by that."""
    named = str(options.model or options.prune_run_id)
    version = find_version(store, named) if named.startswith(SCHEME) else None
    run_id = version.run_id if version else store.full_id(named)
    return version, tracked_model(store, run_id)


def received_at(text: str | None) -> datetime:
    """When the request was received, in UTC; UserError if that is no time, or lies ahead."""
    now = datetime.now(UTC)
    if text is None:
        return now
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise UserError(
            f"received={text!r} is no time; write 2026-11-29 or 2026-11-29T09:30:00Z"
        ) from None
    found = found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    if found > now + AHEAD:
        raise UserError(
            f"received={text} lies ahead of this machine's clock ({now:%Y-%m-%dT%H:%M:%SZ}); "
            "correct the time, or the clock"
        )
    return found
