"""The evidence of an erasure: outputs of its models, and the bundle that holds them."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mu import tags
from mu.erasure.effect import FORGET
from mu.erasure.outputs import Evidence, References
from mu.errors import UserError
from mu.evaluation.attacks.exposure import FEWEST_REFERENCES
from mu.evaluation.references import Kept
from mu.evaluation.unlearning import predict_split
from mu.evidence import log
from mu.evidence.bundle import MODEL, STATEMENT, Bundle
from mu.evidence.signing import key_id
from mu.report import console
from mu.report.erasure import page
from mu.report.verdict import SPREAD
from mu.tasks.base import make_run
from mu.tasks.erase import statement
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.plan import ErasePlan
from mu.tasks.resolve import tracked_model
from mu.tracking import FINISHED, Recorder, read_run, records
from mu.tracking.evidence_log import append_line


def evidence_of(
    plan: ErasePlan, run_id: str, oracle: str | None, rows: Sequence[Mapping[str, Any]]
) -> Evidence:
    """Outputs of all models, with the records in the order of the rows."""
    checkpoints = {"original": plan.model.checkpoint}
    ids = {"model": run_id} | ({"oracle": oracle} if oracle else {})
    checkpoints |= {role: tracked_model(plan.store, one).checkpoint for role, one in ids.items()}
    models = {
        role: predict_split(one.model, plan.split, make_run(plan.device))
        for role, one in checkpoints.items()
    }
    labels = plan.split.forget_set.labels.numpy()
    whole = np.isin(labels, plan.split.forgotten_classes)
    numbers = read_run(plan.store, run_id).metrics
    evidence = Evidence(
        models,
        plan.problem.evaluation_seed,
        whole,
        retrained=plan.retrains,
        depth=numbers.get("depth"),
        oracle_spread=numbers.get(SPREAD),
        references=_references(plan, run_id),
    )
    places = {int(number): place for place, number in enumerate(plan.split.forget)}
    order = [places[one["number"]] for one in rows if one["status"] in FORGET]
    # Read back, so that the numbers are those of the file.
    content = evidence.in_order(order).to_bytes()
    effect = {"depth": evidence.depth, "oracleSpread": evidence.oracle_spread}
    return Evidence.from_bytes(content, effect, retrained=evidence.retrained)


def _references(plan: ErasePlan, run_id: str) -> References | None:
    """What the newest finished attack with reference models on this model says of the records."""
    found = records(plan.store, {tags.ENTRY: "lira", tags.UPSTREAM: run_id}, FINISHED)
    if (attack := next(iter(found), None)) is None:
        return None
    try:
        kept = Kept.read(attack.read, int(attack.params["references"]))
    except (UserError, ValueError):  # they were removed since
        return None
    places = np.flatnonzero(np.isin(kept.samples, plan.split.forget))
    if len(kept.seen) < FEWEST_REFERENCES or len(places) != len(plan.split.forget):
        return None
    console.print_words(f"references: those of run {attack.run_id}")
    return References(kept.margins[:, places], kept.seen[:, places])


def make_bundle(
    plan: ErasePlan,
    recorder: Recorder,
    run_id: str,
    evidence: Evidence,
    predicate: Mapping[str, Any],
    public: Sequence[Mapping[str, Any]],
    letters: Mapping[str, bytes],
) -> Bundle:
    """The signed bundle, with its place in the store's log."""
    signer = None if plan.key is None else key_id(plan.key.public_key())
    files = {
        "outputs.npz": evidence.to_bytes(),
        "records.json": _json(public),
        "policy.yaml": plan.policy.to_text().encode(),
        "environment.json": statement.environment(),
        "page.html": page(predicate, public, signer).encode(),
        **letters,
    }
    digests = statement.file_digests(plan.store, run_id)
    subjects = {f"{MODEL}{path}": one for path, one in digests.items()}
    bundle = Bundle.make(files, subjects, predicate, plan.key)
    lines = append_line(plan.store, recorder.run_id, log.line_of(bundle.files[STATEMENT]))
    return bundle.with_log(log.make_log(lines, plan.key))


def public_rows(
    rows: Sequence[Mapping[str, Any]], assessed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Rows as the bundle shows them: no names and numbers, and what was found of each record."""
    found = iter(assessed)
    return [
        {
            "id": one["id"],
            "status": one["status"],
            **(next(found) if one["status"] in FORGET else {"verdict": None}),
        }
        for one in rows
    ]


def sealed(sealer: Sealer, rows: Sequence[Mapping[str, Any]], letters: Mapping[str, str]) -> bytes:
    """Which record each digest stands for, and the key; CSV for the run, never for the bundle.

    ``letters``: the file of each subject's.
    """
    text = io.StringIO()
    names = ("id", "status", "number", "file", "text")
    writer = csv.DictWriter(text, ("key", *names, "subject", "letter"))
    writer.writeheader()
    for place, row in enumerate(rows):
        shown = {name: row[name] for name in names}
        shown["subject"] = "; ".join(row["subjects"])
        shown["letter"] = "; ".join(letters[one] for one in row["subjects"])
        writer.writerow({"key": "" if place else sealer.key.hex(), **shown})
    return text.getvalue().encode("utf-8", "surrogateescape")


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()
