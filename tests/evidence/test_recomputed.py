"""Bundles with real outputs: their numbers are computed once more, and a false one is found."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from mu.erasure.effect import assess, recompute
from mu.erasure.outputs import Evidence
from mu.erasure.policy import Policy
from mu.evidence.bundle import Bundle
from mu.evidence.verify import checks
from tests.erasure.test_effect import evidence
from tests.evidence.made import FILES, KEY, SUBJECTS, logged, predicate


def bundle(found: Evidence, stated: Mapping[str, Any], rows: list[dict[str, Any]]) -> Bundle:
    """A signed bundle of outputs, of what is stated of them, and of the records."""
    files = {
        **FILES,
        "outputs.npz": found.to_bytes(),
        "records.json": json.dumps(rows, indent=1).encode(),
        "policy.yaml": Policy().to_text().encode(),
    }
    return logged(Bundle.make(files, SUBJECTS, stated, KEY), KEY)


def test_real_numbers_come_out_and_false_ones_are_named() -> None:
    policy, found = Policy(), evidence(8.0, 2.0)
    whole = assess(found, policy)
    rows = [
        {"id": f"{place:064x}", "status": "trained", **one}
        for place, one in enumerate(whole.records)
    ]
    rows.insert(3, {"id": "f" * 64, "status": "unknown", "verdict": None})
    plain = predicate()
    counted = {**dict.fromkeys(plain["request"]["found"], 0), "trained": len(rows) - 1}
    stated = {
        **plain,
        "request": {**plain["request"], "found": {**counted, "unknown": 1}},
        "policy": policy.as_dict(),
        "effect": dict(whole.effect),
        "verdict": dict(whole.verdict),
    }
    done = list(checks(bundle(found, stated, rows), recompute=recompute))
    assert [check for check in done if not check.ok] == []
    assert {"recomputed", "verdict"} <= {check.name for check in done}

    false = [{**one} for one in rows]
    false[0]["verdict"] = "forgotten" if rows[0]["verdict"] != "forgotten" else "residual"
    better = {**stated, "effect": {**whole.effect, "after": {**whole.effect["after"], "UA": 99.0}}}
    spared = found.in_order(np.arange(len(rows) - 1)[::-1])  # the outputs of other records
    for one, words in (
        (bundle(found, stated, false), "records.json[0].verdict"),
        (bundle(found, better, rows), "effect.after.UA"),
        (bundle(spared, stated, rows), "records.json[0]."),
        (bundle(found, {**stated, "policy": {"known_at": "all"}}, rows), "cannot be computed"),
        (bundle(found, {**stated, "policy": {"known_at": 4.0}}, rows), "policy.yaml has other"),
    ):
        wrong = [check for check in checks(one, recompute=recompute) if not check.ok]
        assert [check.name for check in wrong] == ["recomputed"]
        assert words in wrong[0].detail
