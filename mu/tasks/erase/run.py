"""The entry erase: find records, let the model forget them, measure it, hand over evidence."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from mu import tags
from mu.cli.requests import DeviceOptions, EraseOptions, Request, UnlearnOptions
from mu.erasure.effect import assess
from mu.erasure.verdict import CLOSED
from mu.evidence.bundle import BUNDLE_FILE, BUNDLE_FOLDER
from mu.keys import unlearning_key
from mu.report import console
from mu.report.run_names import run_name
from mu.tasks.base import checked_device, run_task
from mu.tasks.erase import statement
from mu.tasks.erase.before import Answered, judged_before
from mu.tasks.erase.evidence import evidence_of, make_bundle, public_rows, sealed
from mu.tasks.erase.gate import foreseen, open_gate, passing, refuse_in_vain
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.leftovers import purge
from mu.tasks.erase.letters import letter_names, letters
from mu.tasks.erase.plan import ErasePlan, make_plan
from mu.tasks.erase.retire import finish, stored
from mu.tasks.erase.scope import Scope, scope_of
from mu.tasks.erase.summary import (
    Erased,
    describe,
    log_request,
    metrics_of,
    print_answered,
    print_erased,
    print_found,
)
from mu.tasks.outputs import keep_results
from mu.tasks.resolve import check_oracle_run, oracle_of
from mu.tasks.unlearn import UnlearnPlan, run_plan
from mu.tracking import FINISHED, Recorder, Store, connect, read_run
from mu.tracking.lifecycle import name_launched_run
from mu.tracking.registered import Version, versions_of

GATE_CLOSED = 1  # exit status
SEALED_FILE = "sealed/records.csv"


def erase(request: Request) -> Erased | None:
    """Answer a deletion request; None if earlier erasures did, and nothing is left to forget."""
    options = EraseOptions.of(request.entry)
    device = checked_device(DeviceOptions.of(request.device))
    store = connect()
    plan = make_plan(store, options, request, device)
    if isinstance(plan, Answered):
        finished = [one.run_id for one in plan.erasures if finish(store, one)]
        print_answered(plan, finished, _handed_over(store, options, plan))
        name_launched_run(store, f"answered by {plan.erasures[0].run_id[:8]}")
        _end(options, [one.tags.get(tags.GATE, CLOSED) for one in plan.erasures])
        return None
    check_oracle_run(plan.store, options.oracle_run_id, plan.problem)
    refuse_in_vain(plan, _done(plan))
    print_found(plan)
    title = run_name("erase", f"{len(plan.split.forget)} records", plan.id[:8])
    run_id, done = run_task(plan.store, "erase", title, partial(_work, plan))
    print_erased(done, run_id)
    _end(options, [done.gate.word])
    return done


def _handed_over(store: Store, options: EraseOptions, done: Answered) -> dict[str, Path]:
    """Where the bundles of earlier erasures were written, by run: to ``out``, if it was given."""
    if options.out is None:
        return {}
    out, runs = Path(options.out).expanduser(), [one.run_id for one in done.erasures]
    folders = {one: out if len(runs) == 1 else out / one[:8] for one in runs}
    for run_id, folder in folders.items():
        stored(store, run_id).write(folder)
    return folders


def _end(options: EraseOptions, gates: Sequence[str]) -> None:
    """End the process where an alias was to be moved, and a gate is closed: what follows stops."""
    if options.promote is not None and CLOSED in gates:
        sys.exit(GATE_CLOSED)


def _work(plan: ErasePlan, recorder: Recorder) -> Erased:
    log_request(plan, recorder)
    run_id = _unlearned(plan, recorder.run_id)
    oracle = _oracle(plan, run_id)
    sealer = Sealer()
    rows = statement.record_rows(plan, sealer)
    evidence = evidence_of(plan, run_id, oracle, rows)
    found = assess(evidence, plan.policy)
    scope = _scope(plan, run_id, found.verdict["word"])
    parts = {
        "request": statement.request_part(plan, rows, sealer.of_list(plan.listed)),
        "scope": statement.scope_part(plan, scope),
        "action": (action := statement.action_part(plan, run_id, oracle)),
    }
    action["closed"] = foreseen(plan, run_id, found.verdict)
    if plan.options.received is None:  # it was done before for the same request, then
        request = parts["request"]
        request["receivedAt"] = min(request["receivedAt"], action["startedAt"])
    before = judged_before(plan.store, run_id, plan.policy)
    predicate = statement.predicate(parts, plan, found, before)
    public = public_rows(rows, found.records)
    names = letter_names(plan, sealer)
    written = letters(names, plan, predicate, rows, public)
    bundle = make_bundle(plan, recorder, run_id, evidence, predicate, public, written)
    bundle.write(recorder.folder / BUNDLE_FOLDER)
    packed = bundle.pack()
    (recorder.folder / BUNDLE_FILE).write_bytes(packed)
    recorder.files.put(BUNDLE_FILE, packed)  # before any alias is moved, whatever comes after
    # Never in the folder, which stays on this machine where the run is stopped.
    recorder.files.put(SEALED_FILE, sealed(sealer, rows, names))
    recorder.tags(
        {tags.VERDICT: predicate["verdict"]["word"], tags.UPSTREAM: run_id, tags.ORACLE: oracle}
    )
    recorder.metrics(metrics_of(predicate))
    keep_results(recorder, metrics_of(predicate), describe(plan, run_id, oracle, predicate))
    if plan.options.out is not None:  # before the gate: evidence first
        bundle.write(Path(plan.options.out).expanduser())
    recorder.send()  # what the gate of another erasure, or this one started again, reads
    gate = open_gate(plan, run_id, recorder.run_id, bundle)
    return Erased(plan, run_id, oracle, scope, bundle, predicate, gate)


# --- the unlearning -----------------------------------------------------------------------


def _unlearned(plan: ErasePlan, parent: str) -> str:
    """The run of the model without the records: a finished one of exactly this, or a new one."""
    problem = plan.problem
    if done := _done(plan):
        console.print_words(f"unlearned: run {done}, which did exactly this before")
        return done
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


def _done(plan: ErasePlan) -> str | None:
    """The finished run that did exactly this unlearning before, with an oracle if it needs one."""
    key = unlearning_key(
        plan.problem.network, plan.split.fingerprint, plan.chosen.method, plan.options.seed
    )
    needs_oracle = plan.options.oracle_run_id == "train" and not plan.retrains
    for run in plan.store.find({tags.UNLEARNING: key, tags.ENTRY: "unlearn"}, FINISHED):
        if tags.ORACLE in run.data.tags or not needs_oracle:
            return str(run.info.run_id)
    return None


def _oracle(plan: ErasePlan, run_id: str) -> str | None:
    """The oracle to compare with, which may be younger than the unlearning; none for one itself."""
    wanted = "none" if plan.retrains else plan.options.oracle_run_id
    linked = read_run(plan.store, run_id).oracle_run_id
    asked = "find" if wanted == "train" else wanted
    return oracle_of(plan.store, asked, lambda: plan.problem, linked, run_id)


def _scope(plan: ErasePlan, run_id: str, word: str) -> Scope:
    """Every model that the records went into, and what is left of them, removed if requested."""
    found = scope_of(plan.store, plan.dataset, plan.split.forget, [plan.model.run_id])
    made = versions_of(plan.store, [one.run_id for one in found.models])
    by_run: dict[str, list[Version]] = {}
    for one in made:
        by_run.setdefault(one.run_id, []).append(one)
    models = [replace(one, versions=by_run.get(one.run_id, [])) for one in found.models]
    place = next((n for n, one in enumerate(models) if one.run_id == run_id), None)
    if place is not None:  # it is judged by the evidence, which is newer than its tags
        passes = word in passing(retrained=plan.retrains)
        models[place] = replace(
            models[place],
            decision="not_affected" if passes else "retire",
            reason=f"the model of this request ({plan.chosen.method.name}): {word}",
        )
    left = purge(plan.store, found.leftovers) if plan.options.purge else found.leftovers
    return replace(found, models=models, leftovers=left)
