"""The statement of an erasure: everything that its evidence says, as plain values."""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from importlib.metadata import distributions
from typing import Any

from mu import tags
from mu.erasure.copies import copied_from
from mu.erasure.effect import FORGET, Assessment
from mu.erasure.records import Record, trained_numbers
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.method import unlearnings_before
from mu.tasks.erase.plan import ErasePlan
from mu.tasks.erase.scope import Scope
from mu.tracking import Store, read_run
from mu.tracking.artifacts import TAG_OF, read

STATUSES = (*FORGET, "validation", "left_out", "test", "forgotten", "unknown")
NAMES = {"weights": tags.WEIGHTS, "mask": tags.MASK, "spec": tags.SPEC}
LIMITS = (  # beside those that every page of evidence begins with
    "What no test found may still be there: only the attacks that are named were tried.",
    "Copies of the model outside this store, and the answers that it gave, are not known here.",
)


def utc(moment: datetime) -> str:
    """A time in UTC, as RFC 3339 has it."""
    return f"{moment:%Y-%m-%dT%H:%M:%SZ}"


def file_digests(store: Store, run_id: str) -> dict[str, str]:
    """sha256 (hex) of the files of a run's network, by their paths."""
    run = store.run(run_id)
    return {path: hashlib.sha256(read(store, run, path)).hexdigest() for path in TAG_OF}


def network(store: Store, run_id: str) -> dict[str, str]:
    """A run and the sha256 of its network's files."""
    digests = file_digests(store, run_id)
    by_tag = {tag: digests[path] for path, tag in TAG_OF.items()}
    return {"runId": run_id, **{name: by_tag[tag] for name, tag in NAMES.items()}}


def environment() -> bytes:
    """Python, the system, and every installed package with its version; JSON."""
    packages = sorted({(one.name.lower(), one.version) for one in distributions() if one.name})
    found = {
        "python": platform.python_version(),
        "system": platform.platform(),
        "packages": dict(packages),
    }
    return (json.dumps(found, indent=1) + "\n").encode()


def record_rows(plan: ErasePlan, sealer: Sealer) -> list[dict[str, Any]]:
    """A row for each record, copy and unknown entry: its keyed digest, status and what it is of.

    Each image once; test images by their names, and entries that name no image by their text.
    ``number``, ``text`` and ``subjects``, all whose record or copy it is, are for the sealed list
    only.
    """
    found: dict[tuple[int | None, str], dict[str, Any]] = {}
    for one in plan.records:
        key = (one.number, one.called if one.number is None else "")
        row = found.setdefault(key, _row(plan, sealer, one))
        if one.subject not in row["subjects"]:
            row["subjects"].append(one.subject)
    rows = [*found.values(), *_copy_rows(plan, sealer, [*found.values()])]
    return sorted(rows, key=lambda one: str(one["id"]))


def _row(plan: ErasePlan, sealer: Sealer, one: Record) -> dict[str, Any]:
    digest = (
        sealer.of_text(one.called)
        if one.number is None
        else sealer.of_sample(plan.dataset, one.number)
    )
    about = {"number": one.number, "file": one.file, "subjects": [one.subject]}
    text = one.text if one.number is not None else one.called
    return {"id": digest, "status": one.status, **about, "text": text}


def _copy_rows(
    plan: ErasePlan, sealer: Sealer, rows: Sequence[Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Rows of copies that are forgotten; those that are kept are counted in the scope."""
    forgotten, manifest = {int(one) for one in plan.split.forget}, plan.dataset.manifest
    owners = {row["number"]: row["subjects"] for row in rows if row["number"] is not None}
    exact = copied_from(plan.copies, trained_numbers(plan.records), plan.dataset)
    near = {int(one): [int(of)] for one, of in zip(plan.near.numbers, plan.near.of, strict=True)}
    for status, sources in (("copy", exact), ("near_copy", near)):
        for number, of in sources.items():
            owners[number] = sorted({who for one in of for who in owners[one]})
            if number in forgotten:
                yield {
                    "id": sealer.of_sample(plan.dataset, number),
                    "status": status,
                    "number": number,
                    "file": manifest.train.names[number] if manifest else None,
                    "subjects": owners[number],
                    "text": "",
                }


def asked(records: Sequence[Record], rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How many entries there are, and what was found of them."""
    counts = Counter(str(one["status"]) for one in rows)
    return {
        "entries": len({(one.line, one.text) for one in records}),
        "found": {status: counts.get(status, 0) for status in STATUSES},
    }


def request_part(plan: ErasePlan, rows: Sequence[Mapping[str, Any]], list_digest: str) -> Any:
    """What was asked for, and what was found of it."""
    return {
        "id": plan.id,
        "kind": plan.options.kind,
        "receivedAt": utc(plan.received),
        "dueAt": utc(plan.due),
        "subjects": len({one.subject for one in plan.records}),
        "list": {"hmacSha256": list_digest},
        **asked(plan.records, rows),
    }


def scope_part(plan: ErasePlan, scope: Scope) -> dict[str, Any]:
    """Data, copies, every model with its decision, masks, and leftovers."""
    parts = plan.model.spec().split(plan.dataset)
    return {
        "data": {
            "name": plan.dataset.name,
            "fingerprint": plan.dataset.fingerprint,
            "trainedOn": len(parts.train),
            "splitSeed": plan.model.spec().recipe.split.split_seed,
        },
        "copies": {
            "exact": len(plan.copies),
            "near": len(plan.near.numbers),
            "threshold": plan.policy.near_at if plan.policy.near_copies != "skip" else None,
            "decision": plan.policy.copies,
            "nearDecision": plan.policy.near_copies,
        },
        "models": [
            {
                "runId": one.run_id,
                "name": one.name,
                "entry": one.entry,
                "records": one.records,
                "decision": one.decision,
                "reason": one.reason,
                "weights": one.weights,
                "versions": [
                    {"name": v.name, "version": str(v.number), "aliases": list(v.aliases)}
                    for v in one.versions
                ],
            }
            for one in scope.models
        ],
        "masks": [
            {"runId": one.run_id, "sawRecords": one.saw_records, "used": True, "why": one.reason}
            for one in scope.masks
        ],
        "leftovers": [
            {
                "kind": one.kind,
                "where": one.where,
                "runId": one.run_id,
                "removedAt": None if one.removed_at is None else utc(one.removed_at),
                "note": one.note,
            }
            for one in scope.leftovers
        ],
    }


def action_part(plan: ErasePlan, run_id: str, oracle_id: str | None) -> dict[str, Any]:
    """What was done, to which bytes, by which program; ``run_id``: of the unlearning."""
    store, made = plan.store, read_run(plan.store, run_id)
    told = made.tags
    started = made.started.astimezone(UTC)
    return {
        "method": plan.chosen.method.name,
        "why": plan.chosen.why,
        "settings": plan.chosen.method.as_dict(),
        "seed": plan.options.seed,
        "original": network(store, plan.model.run_id),
        "model": network(store, run_id),
        "oracle": None if oracle_id is None else network(store, oracle_id),
        "startedAt": utc(started),
        "unlearnedAt": utc(started + timedelta(seconds=made.seconds or 0)),
        "commit": told.get(tags.COMMIT, ""),
        "dirty": told.get(tags.DIRTY) == "true",
        "precision": told.get(tags.PRECISION, ""),
        "threads": int(made.values.get("threads") or 1),
        "processor": told.get(tags.PROCESSOR, ""),
        "requestsBefore": unlearnings_before(plan.model.spec()),
        "retrained": plan.retrains,
    }


def predicate(
    parts: Mapping[str, Any], plan: ErasePlan, found: Assessment, limits: Sequence[str]
) -> dict[str, Any]:
    """All of it; ``parts``: request, scope and action; ``limits``: beside those of all evidence."""
    return {
        **parts,
        "policy": plan.policy.as_dict(),
        "effect": dict(found.effect),
        "verdict": dict(found.verdict),
        "limits": [*limits, *LIMITS],
    }
