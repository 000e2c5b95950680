"""What the run of an erasure keeps beside its evidence, and what is printed of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mu.evidence.bundle import BUNDLE_FILE, BUNDLE_FOLDER, Bundle
from mu.report import console
from mu.report.alarms import alarms_of, texts
from mu.report.markdown import links_list, markdown_table, paragraphs
from mu.tasks.erase.gate import Gate
from mu.tasks.erase.plan import ErasePlan
from mu.tasks.erase.scope import Scope
from mu.tasks.outputs import log_data
from mu.tasks.suspects import name_of
from mu.tracking import Recorder, browse, read_run

MOST_SHOWN = 10  # near-copies, and leftovers


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


def log_request(plan: ErasePlan, recorder: Recorder) -> None:
    """Log what was requested, and of which data."""
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
    recorder.tags(plan.problem.tags())


def metrics_of(predicate: Mapping[str, Any]) -> dict[str, float]:
    """Numbers of the run: after, before, and how many records came to which verdict."""
    effect = predicate["effect"]
    after = {name: value for name, value in effect["after"].items() if value is not None}
    before = {f"{name}_before": value for name, value in effect["before"].items()}
    counts = {f"records_{word}": float(count) for word, count in effect["records"].items()}
    more = {name: effect[name] for name in ("gap", "depth") if effect[name] is not None}
    return {**after, **before, **counts, **more}


def describe(plan: ErasePlan, run_id: str, oracle: str | None, predicate: Mapping[str, Any]) -> str:
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


def print_found(plan: ErasePlan) -> None:
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
        _print_near(plan)
    console.say(f"method: {plan.chosen.method.name} ({plan.chosen.why})")


def _print_near(plan: ErasePlan) -> None:
    """The near-copies that are most alike, with the names of their files."""
    near, numbers = plan.near, [*zip(plan.near.numbers, plan.near.of, strict=True)]
    rows = [
        [*(f"{one} {name_of(plan.dataset, int(one))}".strip() for one in pair), f"{value:.4f}"]
        for pair, value in zip(numbers[:MOST_SHOWN], near.similarity, strict=False)
    ]
    word = "forgotten, too" if plan.policy.near_copies == "forget" else "kept"
    console.print_texts(
        f"near-copies, {word} (policy: near_copies={plan.policy.near_copies}, "
        f"near_at={plan.policy.near_at:g}); the first {len(rows)} of {len(numbers)}",
        ["sample", "of", "similarity"], rows, "llr", plain=True,
    )  # fmt: skip


def print_erased(done: Erased, run_id: str) -> None:
    """What the run prints when it is done."""
    effect, verdict = done.predicate["effect"], done.predicate["verdict"]
    models = done.scope.models
    lines = [
        [one.run_id[:8], one.entry, str(one.records), one.decision, _short(one.reason)]
        for one in models
    ]
    console.print_texts(
        "models of the store that hold the records, or descend from one that does",
        ["run", "entry", "records", "decision", "reason"], lines, "llrll", plain=True,
    )  # fmt: skip
    more = {name: effect[name] for name in ("gap", "depth") if effect[name] is not None}
    rows = {"original": effect["before"], "unlearned": {**effect["after"], **more}}
    if effect["oracle"]:
        rows["oracle"] = effect["oracle"]
    console.print_results(f"records to forget: {effect['forget']}", rows)
    counts = ", ".join(f"{n} {word}" for word, n in effect["records"].items())
    _print_leftovers(done)
    made = read_run(done.plan.store, done.unlearned)
    console.print_warnings(texts(alarms_of(made, made.oracle.metrics if made.oracle else {})))
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


def _short(text: str) -> str:
    """With the first digits of each run ID alone, by which a run is found everywhere."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}\b", r"\1", text)


def _print_leftovers(done: Erased) -> None:
    """What is left beside the networks."""
    left = [one for one in done.scope.leftovers if one.removed_at is None]
    rows = [[one.kind, (one.run_id or "-")[:8], one.where, one.note] for one in left[:MOST_SHOWN]]
    if rows:
        title = f"leftovers, the first {len(rows)} of {len(left)}"
        console.print_texts(title, ["kind", "run", "where", "note"], rows, "llll", plain=True)


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
