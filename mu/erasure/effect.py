"""What an erasure did: for each record and in all, from outputs that anyone can compute it from.

The same functions make the evidence and verify it, and take nothing but the arrays of a bundle, its
policy, and what cannot be computed from outputs (the depth of forgetting, what other oracles give).

A record is *known* to a model where the model is at least as sure of its label as of all but a few
percent (the policy's ``known_at``) of the test images of its class, which it never saw. Where there
are reference models, it is held against those that did not train on this very record (LiRA). Where
its class is forgotten as a whole, it is also known if the model still gives it its class. Of images
that were never trained on as many percent pass, too, so *residual* is said of all records together
only where more of them are known than chance gives.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.stats
from numpy.typing import NDArray

from mu.erasure.outputs import ROLES, Evidence
from mu.erasure.policy import Policy
from mu.erasure.verdict import FORGOTTEN, NO_BASELINE, RESIDUAL, verdict_of
from mu.evaluation.attacks.exposure import exposure
from mu.evaluation.attacks.rates import auc_interval
from mu.evaluation.gap import gaps
from mu.evaluation.known import as_sure
from mu.evaluation.membership import privacy, unseen_of_same_classes
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import measure
from mu.readers.documents import read_json
from mu.rounding import rounded

FORGET = ("trained", "copy", "near_copy")  # what is known of the records that are forgotten
DRAWS = 20_000  # by which the number of records that are known by chance is drawn
FEWEST = 10  # records of which an attack on all of them together can tell something
ATTACK = "confidence of the label, against test images of the same class"
WITH_REFERENCES = "LiRA, calibrated for each record by {count} reference models"
NOT_TESTED = (
    "attacks that see gradients or train on the model's answers",
    "reconstruction of images from the weights",
)


@dataclass(frozen=True)
class Assessment:
    """What the evidence comes to; JSON-ready."""

    effect: Mapping[str, Any]
    records: Sequence[Mapping[str, Any]]  # in the order of the evidence
    verdict: Mapping[str, Any]


def assess(evidence: Evidence, policy: Policy) -> Assessment:
    """Numbers and verdicts of each record and of all of them."""
    numbers = {role: _numbers(one, evidence.seed) for role, one in evidence.models.items()}
    records = _records(evidence, policy)
    counts = dict.fromkeys((FORGOTTEN, RESIDUAL, NO_BASELINE), 0)
    for one in records:
        counts[one["verdict"]] += 1
    oracle = numbers.get("oracle")
    effect: dict[str, Any] = {
        "forget": len(evidence.whole),
        "retain": len(evidence.models["model"].retain),
        "test": len(evidence.models["model"].test),
        "before": numbers["original"],
        "after": numbers["model"],
        "oracle": oracle,
        "gap": None if oracle is None else rounded(gaps(numbers["model"], oracle)["gap"]),
        "oracleSpread": evidence.oracle_spread,
        "depth": evidence.depth,
        "attack": _attack(evidence),
        "records": counts,
        "chance": _chances(evidence, policy, records),
        "notTested": _not_tested(evidence),
    }
    return Assessment(effect, records, verdict_of(evidence, policy, effect, records))


def recompute(files: Mapping[str, bytes], predicate: Mapping[str, Any]) -> dict[str, Any]:
    """``effect``, ``verdict`` and the assessed ``records`` once more, from a bundle's files."""
    retrained = predicate["action"]["method"] == "retrain"
    evidence = Evidence.from_bytes(files["outputs.npz"], predicate["effect"], retrained=retrained)
    policy = Policy.of(predicate["policy"], owner="the policy")
    if files["policy.yaml"].decode() != policy.to_text():
        raise ValueError("policy.yaml has other thresholds than the statement")
    found = assess(evidence, policy)
    records = iter(found.records)
    stated = read_json(files["records.json"])
    counts = Counter(one["status"] for one in stated)
    if sum(counts[status] for status in FORGET) != len(found.records):
        raise ValueError("records.json and outputs.npz are of different numbers of records")
    if any(counts[name] != many for name, many in predicate["request"]["found"].items()):
        raise ValueError("request.found does not count the records of records.json")
    again = [{**one, **(next(records, {}) if one["status"] in FORGET else {})} for one in stated]
    return {"effect": found.effect, "verdict": found.verdict, "records": again}


# --- numbers ------------------------------------------------------------------------------


def _numbers(outputs: SplitOutputs, seed: int) -> dict[str, float]:
    """UA, RA, TA, MIA; ``MIA_auc`` with its interval; the privacy of the retain set."""
    found = measure(outputs, seed=seed)
    unseen = unseen_of_same_classes(outputs)
    if len(unseen) and len(outputs.forget) >= FEWEST:
        margins = (outputs.forget.score("margin").numpy(), unseen.score("margin").numpy())
        names = ("MIA_auc", "MIA_auc_lo", "MIA_auc_hi")
        found |= dict(zip(names, auc_interval(*margins), strict=True))
    return {name: rounded(one) for name, one in {**found, **privacy(outputs, seed=seed)}.items()}


def _attack(evidence: Evidence) -> str:
    known = evidence.references
    return ATTACK if known is None else WITH_REFERENCES.format(count=len(known))


def _records(evidence: Evidence, policy: Policy) -> list[dict[str, Any]]:
    """The rates of each record, and its verdict."""
    rates = {role: _rates(one, evidence, policy) for role, one in evidence.models.items()}
    right = {role: one.forget.right.numpy() for role, one in evidence.models.items()}
    rows = []
    for place, whole in enumerate(evidence.whole):
        row: dict[str, Any] = {}
        for role, ending in ROLES.items():
            found = rates[role][:, place] if role in rates else (math.nan,) * 3
            for name, rate in zip(("fpr", "fprLow", "fprHigh"), found, strict=True):
                row[f"{name}{ending}"] = None if math.isnan(rate) else rounded(rate)
            row[f"right{ending}"] = bool(right[role][place]) if role in right else None

            if role in rates:
                member = bool(found[0] <= policy.known_at)
                row[f"known{ending}"] = member or bool(whole and right[role][place])
        row["verdict"] = NO_BASELINE if not row["knownBefore"] else FORGOTTEN
        if row["knownBefore"] and row["knownAfter"]:
            row["verdict"] = RESIDUAL
        rows.append(row)
    return rows


def _rates(outputs: SplitOutputs, evidence: Evidence, policy: Policy) -> NDArray[np.float64]:
    """Percent of what was not trained on of which a model is as sure as of each record; (3, n).

    With the ends of the 95 % interval, where references give one.
    """
    margins, known = outputs.forget.score("margin").numpy(), evidence.references
    if known is not None:
        found = exposure(margins, known.margins, known.seen)
        return np.stack([found.rate, found.low, found.high])
    rates = _among_unseen(outputs, evidence, policy)
    return np.stack([rates, np.full(len(rates), np.nan), np.full(len(rates), np.nan)])


def _among_unseen(outputs: SplitOutputs, evidence: Evidence, policy: Policy) -> NDArray[np.float64]:
    """Percent of unseen images that a model is as sure of, each record counted among them; (n,).

    So that of a record that is no different from m unseen images it is at most p with a probability
    of at most p percent, however few they are.
    """
    unseen = unseen_of_same_classes(outputs)
    margins, others = (one.score("margin").numpy() for one in (outputs.forget, unseen))
    found = np.full(len(margins), np.nan)
    for rows, pool in _pools(evidence, policy):
        count = np.rint(as_sure(margins[rows], others[pool]) / 100 * len(pool))
        found[rows] = 100 * (count + 1) / (len(pool) + 1)
    return found


def _pools(evidence: Evidence, policy: Policy) -> list[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of records, and of the unseen images that they are compared with.

    Those of their class, where these are enough to tell ``known_at``; else those of all classes.
    """
    outputs = evidence.models["model"]
    labels, unseen = outputs.forget.labels.numpy(), unseen_of_same_classes(outputs).labels.numpy()
    fewest = math.ceil(100 / policy.known_at) if policy.known_at else 1
    same = {one: np.flatnonzero(unseen == one) for one in np.unique(labels).tolist()}
    found = [
        (np.flatnonzero(labels == one), pool) for one, pool in same.items() if len(pool) >= fewest
    ]
    few = [one for one, pool in same.items() if len(pool) < fewest]
    if few and len(unseen) >= fewest:
        found.append((np.flatnonzero(np.isin(labels, few)), np.arange(len(unseen))))
    return found


def _chances(
    evidence: Evidence, policy: Policy, records: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """Probability of so many known records, or more, if they were no different from unseen images.

    Records of a class that is forgotten as a whole are not among them. All records of a class are
    held against the same few images, so their number varies more than a binomial's: it is drawn,
    with the share that lies above those images (a beta distribution).
    """
    plain = ~evidence.whole
    known = {
        name: sum(one[f"known{name}"] for one, p in zip(records, plain, strict=True) if p)
        for name in ("Before", "After")
    }
    if evidence.references is not None:
        of_many = scipy.stats.binom(int(plain.sum()), policy.known_at / 100)
        return {name.lower(): rounded(of_many.sf(many - 1)) for name, many in known.items()}
    draws, counts = np.random.default_rng([evidence.seed, 9]), np.zeros(DRAWS, np.int64)
    for rows, pool in _pools(evidence, policy):
        above = math.floor(policy.known_at / 100 * (len(pool) + 1) + 1e-9) - 1
        if above >= 0:
            share = draws.beta(above + 1, len(pool) - above, DRAWS)
            counts += draws.binomial(int(plain[rows].sum()), share)
    return {
        name.lower(): rounded((1 + int((counts >= many).sum())) / (DRAWS + 1))
        for name, many in known.items()
    }


def _not_tested(evidence: Evidence) -> list[str]:
    left = [*NOT_TESTED]
    if evidence.references is None:
        left.append("an attack with reference models, calibrated for each record")
    if "oracle" not in evidence.models:
        left.append("the distance to a model trained without the records: there was none")
    if evidence.depth is None:
        left.append("how soon the records are learnt again")
    if len(evidence.whole) < FEWEST:
        left.append(f"an attack on all records together: it takes {FEWEST} of them")
    return left
