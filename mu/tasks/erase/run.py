"""The entry erase: find records, let the model forget them, measure it, hand over evidence."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from mu import tags
from mu.cli.requests import DeviceOptions, EraseOptions, Request, UnlearnOptions
from mu.erasure.effect import FORGET, Evidence, References, assess
from mu.evaluation.attacks.exposure import FEWEST_REFERENCES
from mu.evaluation.references import Kept
from mu.evaluation.unlearning import predict_split
from mu.evidence import log
from mu.evidence.bundle import MODEL, STATEMENT, Bundle
from mu.evidence.dsse import key_id
from mu.keys import unlearning_key
from mu.report import console
from mu.report.erasure import letter, page
from mu.report.markdown import links_list, markdown_table, paragraphs
from mu.report.run_names import run_name
from mu.report.verdict import SPREAD
from mu.tasks.base import checked_device, make_run, run_task
from mu.tasks.erase import statement
from mu.tasks.erase.gate import BUNDLE_FILE, Gate, open_gate, retire
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.leftovers import purge
from mu.tasks.erase.plan import ErasePlan, make_plan
from mu.tasks.erase.scope import Scope, scope_of
from mu.tasks.outputs import keep_results, log_data
from mu.tasks.problem import UnlearningProblem
from mu.tasks.resolve import check_oracle_run, oracle_of, tracked_model
from mu.tasks.unlearn import UnlearnPlan, run_plan
from mu.tracking import FINISHED, Recorder, browse, connect, read_run, records
from mu.tracking.evidence_log import append_line
from mu.tracking.registered import Version, versions_of

SEALED_FILE = "sealed/records.csv"
BUNDLE_FOLDER = "evidence"


@dataclass(frozen=True)
class Erased:
    """An erasure that is done."""

    plan: ErasePlan
    unlearned: str  # the run of the model without the records
    oracle: str | None
    scope: Scope
    bundle: Bundle
    predicate: Mapping[str, Any]
    gate: Gate


def erase(request: Request) -> Erased:
    """Answer a deletion request."""
    options = EraseOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    plan = make_plan(connect(), options, request, device)
    check_oracle_run(plan.store, options.oracle_run_id, _problem(plan))
    _print_found(plan)
    title = run_name("erase", f"{len(plan.split.forget)} records", plan.id[:8])
    run_id, done = run_task(plan.store, "erase", title, partial(_work, plan))
    _print(done, run_id)
    return done


def _work(plan: ErasePlan, recorder: Recorder) -> Erased:
    _record(plan, recorder)
    run_id = _unlearned(plan, recorder.run_id)
    oracle = _oracle(plan, run_id)
    sealer = Sealer()
    rows = statement.record_rows(plan, sealer)
    evidence = _evidence(plan, run_id, oracle, rows)
    scope = _scope(plan, run_id)
    found = assess(evidence, plan.policy)
    parts = {
        "request": statement.request_part(plan, rows, sealer.of_list(_list(plan))),
        "scope": statement.scope_part(plan, scope),
        "action": (action := statement.action_part(plan, run_id, oracle)),
    }
    if plan.options.received is None:  # it was done before for the same request, then
        earlier = min(parts["request"]["receivedAt"], action["startedAt"])
        parts["request"]["receivedAt"] = earlier
    predicate = statement.predicate(parts, plan, found)
    public = _public(rows, found.records)
    bundle = _bundle(plan, recorder, run_id, evidence, predicate, public)
    bundle.write(recorder.folder / BUNDLE_FOLDER)
    (recorder.folder / BUNDLE_FILE).write_bytes(bundle.pack())
    _seal(recorder.folder / SEALED_FILE, sealer, rows)
    recorder.tags(
        {tags.VERDICT: predicate["verdict"]["word"], tags.UPSTREAM: run_id, tags.ORACLE: oracle}
    )
    recorder.metrics(_metrics(predicate))
    keep_results(recorder, _metrics(predicate), _description(plan, run_id, oracle, predicate))
    gate = open_gate(plan, run_id, recorder.run_id, bundle, scope)
    recorder.tags({tags.GATE: gate.word})
    retire(plan.store, scope, recorder.run_id, target=gate.passed)
    if plan.options.out is not None:
        bundle.write(Path(plan.options.out).expanduser())
    return Erased(plan, run_id, oracle, scope, bundle, predicate, gate)


# --- the unlearning -----------------------------------------------------------------------


def _unlearned(plan: ErasePlan, parent: str) -> str:
    """The run of the model without the records: a finished one of exactly this, or a new one."""
    problem = _problem(plan)
    key = unlearning_key(
        problem.network, plan.split.fingerprint, plan.chosen.method, plan.options.seed
    )
    needs_oracle = plan.options.oracle_run_id == "train" and not plan.retrains
    for run in plan.store.find({tags.UNLEARNING: key, tags.ENTRY: "unlearn"}, FINISHED):
        if tags.ORACLE in run.data.tags or not needs_oracle:
            console.say(f"unlearned: run {run.info.run_id}, which did exactly this before")
            return str(run.info.run_id)
    options = UnlearnOptions(
        prune_run_id=plan.model.run_id,
        method=plan.chosen.method.name,
        forget=problem.forget,
        oracle_run_id=plan.options.oracle_run_id,
        seed=plan.options.seed,
    )
    unlearning = UnlearnPlan(
        plan.store,
        options,
        plan.chosen.method,
        plan.device,
        plan.dataset,
        plan.model,
        problem.forget,
        lambda *_: plan.split,
        {},
    )
    return run_plan(unlearning.checked(), parent).run_id


def _oracle(plan: ErasePlan, run_id: str) -> str | None:
    """The oracle to compare with, which may be younger than the unlearning; none for one itself."""
    wanted = "none" if plan.retrains else plan.options.oracle_run_id
    linked = read_run(plan.store, run_id).oracle_run_id
    asked = "find" if wanted == "train" else wanted
    return oracle_of(plan.store, asked, lambda: _problem(plan), linked, run_id)


def _problem(plan: ErasePlan) -> UnlearningProblem:
    forget = f"indices:{plan.request_name}"
    model = plan.model
    return UnlearningProblem(
        model.run_id, model.checkpoint, plan.dataset, plan.split, forget, plan.device
    )


def _evidence(
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
        _problem(plan).evaluation_seed,
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
    kept = Kept.read(attack.read, int(attack.params["references"]))
    places = np.flatnonzero(np.isin(kept.samples, plan.split.forget))
    if len(kept.seen) < FEWEST_REFERENCES or len(places) != len(plan.split.forget):
        return None
    console.say(f"references: those of run {attack.run_id}")
    return References(kept.margins[:, places], kept.seen[:, places])


def _scope(plan: ErasePlan, run_id: str) -> Scope:
    """Every model that the records went into, and what is left of them, removed if requested."""
    found = scope_of(plan.store, plan.dataset, plan.split.forget, [plan.model.run_id])
    made = versions_of(plan.store, [one.run_id for one in found.models])
    by_run: dict[str, list[Version]] = {}
    for one in made:
        by_run.setdefault(one.run_id, []).append(one)
    models = [replace(one, versions=by_run.get(one.run_id, [])) for one in found.models]
    left = purge(plan.store, found.leftovers) if plan.options.purge else found.leftovers
    return replace(found, models=models, leftovers=left)


# --- the bundle ---------------------------------------------------------------------------


def _bundle(
    plan: ErasePlan,
    recorder: Recorder,
    run_id: str,
    evidence: Evidence,
    predicate: Mapping[str, Any],
    public: Sequence[Mapping[str, Any]],
) -> Bundle:
    """The signed bundle, with its place in the store's log."""
    signer = None if plan.key is None else key_id(plan.key.public_key())
    files = {
        "outputs.npz": evidence.to_bytes(),
        "records.json": _json(public),
        "policy.yaml": plan.policy.to_text().encode(),
        "environment.json": statement.environment(),
        "page.html": page(predicate, public, signer).encode(),
        "letter.txt": letter(predicate).encode(),
    }
    digests = statement.file_digests(plan.store, run_id)
    subjects = {f"{MODEL}{path}": one for path, one in digests.items()}
    bundle = Bundle.make(files, subjects, predicate, plan.key)
    line = hashlib.sha256(bundle.files[STATEMENT]).hexdigest()
    lines = append_line(plan.store, recorder.run_id, line)
    leaves = [bytes.fromhex(one) for one in lines]
    return bundle.with_log(log.entry(leaves, len(leaves) - 1, plan.key))


def _public(
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


def _seal(path: Path, sealer: Sealer, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write which record each digest stands for, and the key: for the run, never for the bundle."""
    text = io.StringIO()
    names = ("id", "status", "number", "file", "subject", "text")
    writer = csv.DictWriter(text, ("key", *names))
    writer.writeheader()
    for place, row in enumerate(rows):
        shown = {name: row[name] for name in names}
        writer.writerow({"key": "" if place else sealer.key.hex(), **shown})
    path.parent.mkdir(exist_ok=True)
    path.write_text(text.getvalue(), encoding="utf-8", errors="surrogateescape")


def _list(plan: ErasePlan) -> bytes:
    return Path(str(plan.options.records)).expanduser().read_bytes()


def _json(values: Any) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()


# --- what the run keeps, and what is printed ----------------------------------------------


def _record(plan: ErasePlan, recorder: Recorder) -> None:
    options = plan.options
    recorder.params(
        {
            "prune_run_id": plan.model.run_id,
            "model": str(plan.version.uri if plan.version else plan.model.run_id),
            "method": plan.chosen.method.name,
            "kind": options.kind,
            "seed": options.seed,
            "request": plan.id,
            **{f"policy_{name}": value for name, value in plan.policy.as_dict().items()},
        }
    )
    log_data(recorder, plan.dataset)
    recorder.tags({**_problem(plan).tags()})


def _metrics(predicate: Mapping[str, Any]) -> dict[str, float]:
    effect = predicate["effect"]
    after = {name: value for name, value in effect["after"].items() if value is not None}
    before = {f"{name}_before": value for name, value in effect["before"].items()}
    counts = {f"records_{word}": float(count) for word, count in effect["records"].items()}
    more = {name: effect[name] for name in ("gap", "depth") if effect[name] is not None}
    return {**after, **before, **counts, **more}


def _description(
    plan: ErasePlan, run_id: str, oracle: str | None, predicate: Mapping[str, Any]
) -> str:
    """The run's page, in Markdown."""
    verdict, effect = predicate["verdict"], predicate["effect"]
    rows = [
        (name, *(f"{effect[role].get(name, float('nan')):.4g}" for role in ("before", "after")))
        for name in ("UA", "RA", "TA", "MIA")
    ]
    runs = {"model": plan.model.run_id, "unlearned": run_id}
    runs |= {"oracle": oracle} if oracle else {}
    return paragraphs(
        f"**Erasure** of {effect['forget']} records (request `{plan.id}`) by "
        f"`{plan.chosen.method.name}`: {plan.chosen.why}. Verdict: **{verdict['word']}**.",
        "\n".join(f"- {one}" for one in verdict["reasons"]),
        markdown_table(("", "before", "after"), rows, "lrr"),
        links_list(runs),
        f"The evidence is in `{BUNDLE_FOLDER}/`, and in one file, `{BUNDLE_FILE}`; `mu verify` "
        "checks it.",
    )


def _print_found(plan: ErasePlan) -> None:
    """What the request names, record by record where it is not found or not trained on."""
    counts = Counter(one.status for one in plan.records)
    said = ", ".join(f"{count} {status}" for status, count in counts.items())
    near = plan.near
    copies = f"exact copies {len(plan.copies)}, near-copies {len(near.numbers)}"
    console.say(f"records: {said}; {copies}")
    others = [one for one in plan.records if one.status != "trained" or one.note]
    if others:
        lines = [[str(one.line), one.text, one.status, one.note] for one in others]
        console.print_texts("", ["line", "record", "status", "note"], lines, "rlll", plain=True)
    if len(near.numbers):
        word = "forgotten, too" if plan.policy.near_copies == "forget" else "kept"
        shown = [
            [str(number), str(of), f"{value:.3f}"]
            for number, value, of in zip(near.numbers, near.similarity, near.of, strict=True)
        ][:10]
        console.print_texts(
            f"near-copies, {word} (policy: near_copies={plan.policy.near_copies})",
            ["sample", "of", "similarity"], shown, "rrr", plain=True,
        )  # fmt: skip
    console.say(f"method: {plan.chosen.method.name} ({plan.chosen.why})")


def _print(done: Erased, run_id: str) -> None:
    effect, verdict = done.predicate["effect"], done.predicate["verdict"]
    models = done.scope.models
    lines = [
        [one.run_id[:8], one.entry, str(one.records), one.decision, one.reason] for one in models
    ]
    console.print_texts(
        "models of the store that hold the records, or descend from one that does",
        ["run", "entry", "records", "decision", "reason"], lines, "llrll", plain=True,
    )  # fmt: skip
    more = {name: effect[name] for name in ("gap", "depth") if effect[name] is not None}
    rows = {"original": effect["before"], "unlearned": {**effect["after"], **more}}
    if effect["oracle"]:
        rows["oracle"] = effect["oracle"]
    console.print_results(f"{effect['forget']} records", rows)
    counts = ", ".join(f"{n} {word}" for word, n in effect["records"].items())
    console.print_lines(
        {
            "verdict": f"{verdict['word']}: {'; '.join(verdict['reasons'])}",
            "records": counts,
            "leftovers": _leftovers(done),
            **({"mask": text} if (text := _masks(done)) else {}),
            "not tested": "; ".join(effect["notTested"]),
            "unlearned": done.unlearned,
            **({"oracle": done.oracle} if done.oracle else {}),
            "gate": str(done.gate),
            "verify": _verify(done, run_id),
            "browse": browse(done.plan.store, run_id=run_id),
        }
    )


def _masks(done: Erased) -> str:
    """What to do about masks that were found with the records."""
    saw = [one for one in done.scope.masks if one.saw_records]
    if not saw:
        return ""
    return (
        f"that of run {saw[0].run_id} was found with the records and is kept ({saw[0].reason}); "
        "-P method=retrain -P mask_from=retain finds one without them"
    )


def _leftovers(done: Erased) -> str:
    left = [one for one in done.scope.leftovers if one.removed_at is None]
    text = f"{len(left)} listed in the evidence, {len(done.scope.leftovers) - len(left)} removed"
    if left and not done.plan.options.purge:
        text += "; -P purge=true removes what mu may"
    return text


def _verify(done: Erased, run_id: str) -> str:
    if done.plan.options.out is not None:
        return f"mu verify {done.plan.options.out}"
    return f"mlflow artifacts download -r {run_id} -a {BUNDLE_FILE} && mu verify {BUNDLE_FILE}"
