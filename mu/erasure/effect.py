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

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import binomtest

from mu.erasure.policy import Policy
from mu.evaluation.attacks.exposure import exposure
from mu.evaluation.attacks.rates import auc_interval
from mu.evaluation.gap import gaps
from mu.evaluation.known import as_sure
from mu.evaluation.membership import privacy, unseen_of_same_classes
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.evaluation.reductions import REDUCTIONS
from mu.evaluation.unlearning import measure
from mu.readers.arrays import read_npz
from mu.readers.documents import read_json
from mu.rounding import rounded

FORGOTTEN, RESIDUAL, NO_BASELINE = "forgotten", "residual", "no_baseline"
ROLES = {"original": "Before", "model": "After", "oracle": "Oracle"}  # and endings of numbers
FORGET = ("trained", "copy", "near_copy")  # what is known of the records that are forgotten
FEWEST = 10  # records of which an attack on all of them together can tell something
ATTACK = "confidence of the label, against test images of the same class"
WITH_REFERENCES = "LiRA, calibrated for each record by {count} reference models"
NOT_TESTED = (
    "attacks that see gradients or train on the model's answers",
    "reconstruction of images from the weights",
)

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class References:
    """What reference models say of the records."""

    margins: NDArray[np.float64]  # log-odds of the label, (n_references, n_records)
    seen: NDArray[np.bool_]  # which of them trained on which record, of the same shape

    def __len__(self) -> int:
        return len(self.margins)


@dataclass(frozen=True, eq=False)
class Evidence:
    """Outputs of the models, and what cannot be computed from them."""

    models: Mapping[str, SplitOutputs]  # by role: original, model and, where there is one, oracle
    seed: int  # of the attacks' samples
    whole: NDArray[np.bool_]  # which records are of classes that are forgotten as a whole, (n,)
    retrained: bool = False  # whether the model was trained from scratch without the records
    depth: float | None = None
    oracle_spread: float | None = None
    references: References | None = None

    def in_order(self, order: Sequence[int]) -> Evidence:
        """The same, with the records in another order."""
        places = np.array(list(order), np.int64)
        rows = torch.from_numpy(places)
        models = {
            role: SplitOutputs(one.forget.select(rows), one.retain, one.test, one.test_forgotten)
            for role, one in self.models.items()
        }
        known = self.references
        if known is not None:
            known = References(known.margins[:, places], known.seen[:, places])
        return replace(self, models=models, whole=self.whole[places], references=known)

    def to_bytes(self) -> bytes:
        """The outputs as npz: logits as float32, or the scores of sets too large to keep them."""
        arrays: dict[str, NDArray[Any]] = {"whole": self.whole, "seed": np.array(self.seed)}
        if self.references is not None:
            arrays |= {f"references/{n}": one for n, one in vars(self.references).items()}
        for role, model in self.models.items():
            for part, one in model.parts().items():
                arrays[f"labels/{part}"] = one.labels.numpy()
                if one.has_logits:
                    arrays[f"{role}/{part}/logits"] = one.logits.float().numpy()
                    continue
                arrays[f"{role}/{part}/classes"] = np.array(one.classes)
                for name in REDUCTIONS:
                    arrays[f"{role}/{part}/{name}"] = one.score(name).numpy()
        file = io.BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return file.getvalue()

    @classmethod
    def from_bytes(cls, content: bytes, effect: Mapping[str, Any], *, retrained: bool) -> Evidence:
        """Read what :meth:`to_bytes` gave; ``effect``: the statement's, for what outputs lack.

        ValueError if it is damaged.
        """
        arrays = read_npz(content)
        try:
            models = {role: _outputs(arrays, role) for role in ROLES if _has(arrays, role)}
            depth, spread = effect.get("depth"), effect.get("oracleSpread")
            whole, seed = arrays["whole"].astype(bool), int(arrays["seed"])
            known = None
            if _has(arrays, "references"):
                known = References(arrays["references/margins"], arrays["references/seen"])
        except (KeyError, TypeError, RuntimeError) as error:
            raise ValueError(f"outputs.npz is damaged ({error!r})") from error
        return cls(models, seed, whole, retrained, depth, spread, known)


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
    effect = {
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
        "notTested": _not_tested(evidence),
    }
    return Assessment(effect, records, _verdict(evidence, policy, effect, records))


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

        def known(ending: str, row: Mapping[str, Any] = row, whole: bool = bool(whole)) -> bool:
            rate = row[f"fpr{ending}"]
            member = rate is not None and rate <= policy.known_at
            return member or (whole and row[f"right{ending}"])

        row |= {f"known{ending}": known(ending) for ending in ("Before", "After")}
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
    rates = _among_unseen(outputs, policy)
    return np.stack([rates, np.full(len(rates), np.nan), np.full(len(rates), np.nan)])


def _among_unseen(outputs: SplitOutputs, policy: Policy) -> NDArray[np.float64]:
    """Percent of unseen images, of its class where these are enough, it is as sure of; (n,)."""
    unseen = unseen_of_same_classes(outputs)
    fewest = math.ceil(100 / policy.known_at) if policy.known_at else 1
    labels, of_unseen = outputs.forget.labels.numpy(), unseen.labels.numpy()
    margins, others = (one.score("margin").numpy() for one in (outputs.forget, unseen))
    found = np.full(len(labels), np.nan)
    for label in np.unique(labels):
        rows, same = labels == label, others[of_unseen == label]
        pool = same if len(same) >= fewest else others
        if len(pool) >= fewest:
            found[rows] = as_sure(margins[rows], pool)
    return found


# --- the verdict --------------------------------------------------------------------------


def _verdict(
    evidence: Evidence,
    policy: Policy,
    effect: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The word, the reasons for it, and whether the model kept its use."""
    lost = _lost(policy, effect)
    left = _left(evidence, policy, effect, records)
    if left:
        word, reasons = RESIDUAL, left
    elif not _shown("Before", evidence, policy, effect, records):
        word = NO_BASELINE
        reasons = ["the original could not be shown to know the records, so nothing can be shown"]
    else:
        word, reasons = FORGOTTEN, [_passed(effect)]
    if evidence.retrained:
        reasons.append("the model was trained from scratch without the records")
    return {"word": word, "reasons": [*reasons, *lost], "usable": not lost}


def _left(
    evidence: Evidence,
    policy: Policy,
    effect: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> list[str]:
    """What shows that the model still knows the records, or hides them."""
    found = _shown("After", evidence, policy, effect, records)
    high = effect["after"].get("MIA_auc_hi", 0.5)
    if high < 1 - policy.auc:
        found.append(f"the records together stand out as forgotten (AUC at most {high:.2f})")
    if evidence.retrained:
        return found
    spread = effect["oracleSpread"] or 0.0
    if effect["gap"] is not None and effect["gap"] > max(policy.gap, spread):
        found.append(f"the gap to a model without the records is {effect['gap']:.2f} points")
    if effect["depth"] is not None and effect["depth"] < policy.depth:
        found.append(
            f"depth {effect['depth']:.0f} %: what was forgotten is back soon, so it is hidden "
            "rather than removed"
        )
    return found


def _shown(
    ending: str,
    evidence: Evidence,
    policy: Policy,
    effect: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> list[str]:
    """What shows that the original (``Before``) or the model (``After``) knows the records.

    Both are held against the same bounds, so that a model that changed nothing never passes.
    """
    rows, found = list(zip(records, evidence.whole, strict=True)), []
    plain = [bool(one[f"known{ending}"]) for one, whole in rows if not whole]
    if _beyond_chance(plain, policy):
        found.append(
            f"{sum(plain)} of {len(plain)} records are known, more than the {policy.known_at:g} % "
            "that images never seen would give"
        )
    named = [one[f"right{ending}"] for one, whole in rows if whole]
    theirs = [one["rightOracle"] for one, whole in rows if whole]
    share = 100 * sum(named) / len(named) if named else 0.0
    allowed = 100 * sum(one is True for one in theirs) / len(theirs) if theirs else 0.0
    if share > allowed + policy.named:
        found.append(f"{share:.1f} % of the records of forgotten classes are given their class")
    low = effect[ending.lower()].get("MIA_auc_lo", 0.5)
    if low > policy.auc:
        found.append(f"the records together look trained on (AUC at least {low:.2f})")
    return found


def _beyond_chance(known: Sequence[bool], policy: Policy) -> bool:
    """Whether more records are known than images that were never seen would be."""
    if not known or not any(known):
        return False
    test = binomtest(sum(known), len(known), policy.known_at / 100, alternative="greater")
    return bool(test.pvalue < policy.significance)


def _lost(policy: Policy, effect: Mapping[str, Any]) -> list[str]:
    """What the model lost besides the records."""
    before, after, found = effect["before"], effect["after"], []
    if (fallen := before["TA"] - after["TA"]) > policy.utility:
        found.append(f"the accuracy on test images fell by {fallen:.1f} points")
    name = "MIA_privacy_confidence"
    if name in before and (risen := after[name] - before[name]) > policy.privacy:
        found.append(f"an attack on the records that stay does better by {risen:.1f} points")
    return found


def _passed(effect: Mapping[str, Any]) -> str:
    counts = effect["records"]
    shown = counts[FORGOTTEN] + counts[RESIDUAL]
    return (
        f"the original knew {shown} of {effect['forget']} records; of the model no test shows that "
        "it knows more of them than of images that it never saw"
    )


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


# --- arrays -------------------------------------------------------------------------------


def _has(arrays: Arrays, role: str) -> bool:
    return any(name.startswith(f"{role}/") for name in arrays)


def _outputs(arrays: Arrays, role: str) -> SplitOutputs:
    parts = {
        name.split("/")[1]: _part(arrays, role, name.split("/")[1])
        for name in arrays
        if name.startswith(f"{role}/")
    }
    return SplitOutputs(
        parts["forget"], parts["retain"], parts["test"], parts.get("test_forgotten")
    )


def _part(arrays: Arrays, role: str, part: str) -> Outputs:
    labels = torch.from_numpy(arrays[f"labels/{part}"].astype(np.int64))
    logits = arrays.get(f"{role}/{part}/logits")
    if logits is not None:
        return Outputs(torch.from_numpy(logits).double(), labels)
    scores = {name: torch.from_numpy(arrays[f"{role}/{part}/{name}"]) for name in REDUCTIONS}
    return Outputs(None, labels, scores, int(arrays[f"{role}/{part}/classes"]))
