"""A small bundle, whole and signed, and what it is made of."""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Mapping
from typing import Any

from mu.evidence import log
from mu.evidence.bundle import CONTENTS, STATEMENT, Bundle, sha256
from mu.evidence.signing import PrivateKey, new_key

RECORDS = [
    {"id": "00" * 32, "status": "trained", "verdict": "forgotten", "fprAfter": 61.0},
    {"id": "11" * 32, "status": "copy", "verdict": "forgotten", "fprAfter": None},
]
FILES = {
    **{name: f"{name}: what is in it\n".encode() for name in (*CONTENTS, "letter.txt")},
    "records.json": json.dumps(RECORDS, indent=1).encode(),
}
MODEL = {
    "checkpoint/model.safetensors": b"weights",
    "checkpoint/spec.json": b"{}",
    "mask/mask.safetensors": b"mask",
}
SUBJECTS = {f"model/{name}": sha256(content) for name, content in MODEL.items()}
NETWORK = {"runId": "31e9601a", **dict.fromkeys(("weights", "mask", "spec"), sha256(b"it"))}
METRICS = {"UA": 87.5, "RA": 100.0, "TA": 94.8, "MIA": 50.0, "MIA_auc": 0.51}
PREDICATE: dict[str, Any] = {
    "request": {
        "id": "7d444840-9dc0-41d1-b245-5ffdce74fad2",
        "kind": "erasure",
        "receivedAt": "2026-11-03T09:00:00Z",
        "dueAt": "2026-12-03T09:00:00Z",
        "subjects": 1,
        "entries": 3,
        "list": {"hmacSha256": sha256(b"list")},
        "found": {
            **dict.fromkeys(("near_copy", "validation", "left_out", "test", "forgotten"), 0),
            "trained": 1,
            "copy": 1,
            "unknown": 1,
        },
    },
    "scope": {
        "data": {"name": "digits", "fingerprint": "0f" * 8, "trainedOn": 1293, "splitSeed": 0},
        "copies": {"exact": 1, "near": 0, "threshold": None, "decision": "forget"},
        "models": [
            {
                "runId": "31e9601a",
                "name": "omp · 95 %",
                "entry": "prune",
                "records": 2,
                "decision": "unlearn",
                "reason": "it was trained on 2 of the records",
                "weights": "0f" * 8,
                "versions": [{"name": "cats", "version": "3", "aliases": ["production"]}],
            }
        ],
        "masks": [{"runId": "31e9601a", "sawRecords": True, "used": True}],
        "leftovers": [{"kind": "cache", "where": "MU_CACHE/digits.npy", "removedAt": None}],
    },
    "action": {
        "method": "l1_sparse",
        "settings": {"alpha": 0.001},
        "seed": 0,
        "original": {**NETWORK},
        "model": {**NETWORK},
        "oracle": None,
        "startedAt": "2026-11-04T09:00:00Z",
        "unlearnedAt": "2026-11-04T09:00:07.25Z",
        "commit": "0f" * 20,
        "dirty": False,
        "precision": "fp32",
        "threads": 1,
        "processor": "x86_64",
        "requestsBefore": 0,
    },
    "policy": {"fpr": 1.0},
    "effect": {
        "forget": 2,
        "retain": 1291,
        "test": 360,
        "before": {**METRICS, "UA": 0.0},
        "after": METRICS,
        "oracle": None,
        "gap": None,
        "oracleSpread": None,
        "depth": None,
        "attack": "threshold on confidence by class",
        "records": {"forgotten": 2, "residual": 0, "no_baseline": 0},
        "notTested": ["whether records can be reconstructed"],
    },
    "verdict": {"word": "forgotten", "reasons": ["no record is found by the attack"]},
    "limits": ["weights alone cannot show that records were forgotten"],
}


def predicate(place: str = "", value: object = None) -> dict[str, Any]:
    """A predicate; ``place``, dotted, has another value."""
    found = copy.deepcopy(PREDICATE)
    if place:
        *parents, last = place.split(".")
        functools.reduce(lambda inside, name: inside[name], parents, found)[last] = value
    return found


def recompute(files: Mapping[str, bytes], stated: Mapping[str, Any]) -> dict[str, Any]:
    """Stands for the computation from outputs: what :data:`PREDICATE` has comes out."""
    assert {*CONTENTS} <= {*files}
    assert stated["effect"]
    found = predicate()
    return {"effect": found["effect"], "verdict": found["verdict"], "records": RECORDS}


KEY, OTHER_KEY = new_key(), new_key()  # of the operator, and of an auditor
BEFORE = [log.line_of(b"%d" % number) for number in range(3)]  # in the log


def logged(bundle: Bundle, key: PrivateKey | None) -> Bundle:
    return bundle.with_log(log.make_log([*BEFORE, log.line_of(bundle.files[STATEMENT])], key))


def made(key: PrivateKey | None = KEY, place: str = "", value: object = None) -> Bundle:
    """A bundle, in the log; without a key it is not signed."""
    return logged(Bundle.make(FILES, SUBJECTS, predicate(place, value), key), key)
