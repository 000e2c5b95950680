"""A letter for each person of a request, with what was found of that person's records alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from mu.report.erasure import letter
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.plan import ErasePlan
from mu.tasks.erase.statement import asked

Rows = Sequence[Mapping[str, Any]]
ONE = "letter.txt"


def letter_names(plan: ErasePlan, sealer: Sealer) -> dict[str, str]:
    """The file of each subject's letter, numbered in the order of keyed digests of their names."""
    subjects = sorted({one.subject for one in plan.records}, key=sealer.of_subject)
    if len(subjects) == 1:
        return {subjects[0]: ONE}
    return {one: f"letter-{number}.txt" for number, one in enumerate(subjects, 1)}


def letters(
    names: Mapping[str, str],
    plan: ErasePlan,
    predicate: Mapping[str, Any],
    rows: Rows,
    public: Rows,
) -> dict[str, bytes]:
    """All letters by their files; ``public``: what is said of each of the rows."""
    made = {}
    for subject, name in names.items():
        pairs = zip(rows, public, strict=True)
        own = [(row, said) for row, said in pairs if subject in row["subjects"]]
        records = [one for one in plan.records if one.subject == subject]
        verdicts = Counter(said["verdict"] for _, said in own)
        effect = predicate["effect"]
        counts = {word: verdicts[word] for word in effect["records"]}
        about = {
            **predicate,
            "request": {**predicate["request"], **asked(records, [row for row, _ in own])},
            "effect": {**effect, "records": counts},
        }
        made[name] = letter(about).encode()
    return made
