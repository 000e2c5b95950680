"""What the run of an erasure keeps beside its evidence, and what is printed of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shlex import quote
from typing import Any

from mu import tags
from mu.erasure.records import Record
from mu.evidence.bundle import BUNDLE_FILE, BUNDLE_FOLDER, Bundle
from mu.evidence.signing import public_name
from mu.model_names import SCHEME
from mu.report import console
from mu.report.alarms import alarms_of, texts
from mu.report.markdown import links_list, markdown_table, paragraphs
from mu.tasks.erase.before import Answered
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
    near = plan.near
    copies = f"exact copies {len(plan.copies)}, near-copies {len(near.numbers)}"
    _print_records(plan.records, copies)
    if len(near.numbers):
        _print_near(plan)
    console.print_words(f"method: {plan.chosen.method.name} ({plan.chosen.why})")


def _print_records(records: Sequence[Record], more: str, plain: str = "trained") -> None:
    """How many there are of each status, and each whose status is not ``plain``."""
    counts = Counter(one.status for one in records)
    console.print_words(
        f"records: {', '.join(f'{count} {status}' for status, count in counts.items())}; {more}"
    )
    for one in records:
        if one.status != plain or one.note:
            note = f" ({one.note})" if one.note else ""
            console.print_words(f"line {one.line}, {one.text}: {one.status}{note}", "  ")


def print_answered(done: Answered, finished: Sequence[str], folders: Mapping[str, Path]) -> None:
    """That nothing is left to do, and where the evidence of the erasures that did it is.

    ``finished``: IDs of those that were stopped, and of which the rest was done now.
    ``folders``: where bundles were written, by run.
    """
    what = "earlier erasures removed them, so nothing is left to forget"
    _print_records(done.records, what, "forgotten")
    for one in done.erasures:
        word, gate = (one.tags.get(tag, "unknown") for tag in (tags.VERDICT, tags.GATE))
        lines = {
            "erasure": one.run_id,
            "verdict": f"{word}, gate {gate}",
            "verify": _verify(one.run_id, folders.get(one.run_id)),
        }
        if one.run_id in finished:
            lines["finished"] = (
                f"it was stopped ({one.status}) once its gate was open; all models that it was to "
                "retire are retired now"
            )
        console.print_wrapped(lines, ("verify",))


def fetch(run_id: str) -> str:
    """The command that takes the bundle of an erasure from the store, and checks it."""
    return f"mlflow artifacts download -r {run_id} -a {BUNDLE_FILE} -d . && mu verify {BUNDLE_FILE}"


def _print_near(plan: ErasePlan) -> None:
    """The near-copies that are most alike, with the names of their files."""
    near, numbers = plan.near, [*zip(plan.near.numbers, plan.near.of, strict=True)]
    word = "forgotten, too" if plan.policy.near_copies == "forget" else "kept"
    shown = [*zip(numbers, near.similarity, strict=True)][:MOST_SHOWN]
    console.print_words(
        f"near-copies, {word} (policy: near_copies={plan.policy.near_copies}, "
        f"near_at={plan.policy.near_at:g}); the first {len(shown)} of {len(numbers)}:"
    )
    for pair, value in shown:
        one, of = (f"{n} {name_of(plan.dataset, int(n))}".strip() for n in pair)
        console.print_words(f"{one}, nearly {of}", f"  {value:.4f}  ")


def print_erased(done: Erased, run_id: str) -> None:
    """What the run prints when it is done."""
    effect, verdict = done.predicate["effect"], done.predicate["verdict"]
    undone = "" if done.gate.passed else " once the gate is open"
    console.print_words(f"models of the store, and what becomes of each{undone}:")
    console.print_wrapped({
        f"{one.run_id[:8]} {one.entry}": f"{one.decision}: {_short(one.reason)}"
        for one in done.scope.models
    })  # fmt: skip
    more = {name: effect[name] for name in ("gap", "depth") if effect[name] is not None}
    rows = {"original": effect["before"], "unlearned": {**effect["after"], **more}}
    if effect["oracle"]:
        rows["oracle"] = effect["oracle"]
    console.print_results(f"records to forget: {effect['forget']}", rows)
    counts = ", ".join(f"{n} {word}" for word, n in effect["records"].items())
    _print_leftovers(done)
    made = read_run(done.plan.store, done.unlearned)
    for text in texts(alarms_of(made, made.oracle.metrics if made.oracle else {})):
        console.print_words(text, "warning: ")
    for text in _refused_aliases(done):
        console.print_words(text, "warning: ")
    lines = {
        "verdict": f"{verdict['word']}: {'; '.join(verdict['reasons'])}",
        "records": counts,
        "leftovers": _leftovers(done),
        **({"mask": text} if (text := _masks(done)) else {}),
        "not tested": "; ".join(effect["notTested"]),
        "unlearned": done.unlearned,
        **({"oracle": done.oracle} if done.oracle else {}),
        "gate": str(done.gate),
        "verify": _verify(run_id, done.plan.options.out, done.plan.options.key),
        "browse": browse(done.plan.store, run_id=run_id),
    }
    console.print_wrapped(lines, ("verify", "browse"))


def _refused_aliases(done: Erased) -> Iterator[str]:
    """Each alias that stands for a version which this erasure retired, and what to do."""
    if not done.gate.passed:
        return
    options, new = done.plan.options, done.gate.version
    for one in done.scope.models:
        retired = one.decision in ("unlearn", "retire") and one.run_id != done.unlearned
        for version in one.versions if retired else ():
            for alias in version.aliases:
                address = f"{SCHEME}{version.name}@{alias}"
                number = "NUMBER"
                if new is not None and new.name == version.name:
                    if alias == options.promote:
                        continue
                    number = str(new.number)
                yield (
                    f"{version.name} version {version.number} is retired, and {alias} stands for "
                    f"it: mu refuses to load {address} from now on. Move it to a version without "
                    f"the records, mu promote {SCHEME}{version.name}/{number} {alias}, or erase "
                    f"them from it, -P model={address} -P promote={alias}"
                )


def _short(text: str) -> str:
    """With the first digits of each run ID alone, by which a run is found everywhere."""
    return re.sub(r"\b([0-9a-f]{8})[0-9a-f]{24}\b", r"\1", text)


def _print_leftovers(done: Erased) -> None:
    """What is left beside the networks."""
    left = [one for one in done.scope.leftovers if one.removed_at is None]
    if left:
        console.print_words(f"leftovers, the first {len(left[:MOST_SHOWN])} of {len(left)}:")
    for one in left[:MOST_SHOWN]:
        where = f"run {one.run_id[:8]}, {one.where}" if one.run_id else one.where
        console.print_words("; ".join(filter(None, (where, one.note))), f"  {one.kind}: ")


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


def _verify(run_id: str, out: str | Path | None, key: str | None = None) -> str:
    """The command that checks a bundle, which lies in ``out`` or has to be fetched first."""
    by = "" if key is None else f" --key {quote(str(public_name(Path(key))))}"
    return (fetch(run_id) if out is None else f"mu verify {quote(str(out))}") + by
