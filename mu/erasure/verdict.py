"""What an erasure came to: by the policy's thresholds, from the numbers of all and each record."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from scipy.stats import binomtest

from mu.erasure.outputs import Evidence
from mu.erasure.policy import Policy

FORGOTTEN, RESIDUAL, NO_BASELINE = "forgotten", "residual", "no_baseline"
OPEN, CLOSED = "open", "closed"  # the gate: whether the model may be used in place of the old one


def verdict_of(
    evidence: Evidence,
    policy: Policy,
    effect: Mapping[str, Any],
    records: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The word, the reasons for it, and whether the model kept its use."""
    lost = _lost(policy, effect)
    left = _left(evidence, policy, effect, records)
    if left and not evidence.retrained:
        word, reasons = RESIDUAL, left
    elif not _shown("Before", evidence, policy, effect, records):
        word = NO_BASELINE
        reasons = ["the original could not be shown to know the records, so nothing can be shown"]
    else:
        word, reasons = FORGOTTEN, [_passed(effect)]
    if evidence.retrained:
        reasons.append("the model was trained from scratch without the records")
        reasons += [f"{one}: by chance, or since similar images stay" for one in left]
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
    if high < min(1 - policy.auc, _of_oracle(effect)):
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
    plain = [one[f"known{ending}"] for one, whole in rows if not whole]
    never = [one.get("knownOracle") for one, whole in rows if not whole]
    chance = effect["chance"][ending.lower()]
    if chance <= policy.significance and _more_than_oracle(plain, never, policy):
        found.append(
            f"{sum(plain)} of {len(plain)} records are known, more than chance gives of images "
            f"that were never seen (p {chance:.2g})"
        )
    named = [one[f"right{ending}"] for one, whole in rows if whole]
    theirs = [one["rightOracle"] for one, whole in rows if whole]
    share = 100 * sum(named) / len(named) if named else 0.0
    allowed = 100 * sum(one is True for one in theirs) / len(theirs) if theirs else 0.0
    if share > allowed + policy.named:
        found.append(f"{share:.1f} % of the records of forgotten classes are given their class")
    low = effect[ending.lower()].get("MIA_auc_lo", 0.5)
    if low > max(policy.auc, _of_oracle(effect)):
        found.append(f"the records together look trained on (AUC at least {low:.2f})")
    return found


def _of_oracle(effect: Mapping[str, Any]) -> float:
    """How well the attack tells the records in an oracle, which never saw them; 0.5 without one.

    It is not 0.5 where test images differ from training images, as those of other writers do.
    """
    return float((effect["oracle"] or {}).get("MIA_auc", 0.5))


def _more_than_oracle(known: Sequence[bool], oracle: Sequence[bool | None], policy: Policy) -> bool:
    """Whether more records are known than an oracle knows, by a sign test; yes without one."""
    if None in oracle:
        return True
    ours = sum(one and not other for one, other in zip(known, oracle, strict=True))
    theirs = sum(bool(other) and not one for one, other in zip(known, oracle, strict=True))
    if not ours:
        return False
    return bool(binomtest(ours, ours + theirs, alternative="greater").pvalue <= policy.significance)


def _lost(policy: Policy, effect: Mapping[str, Any]) -> list[str]:
    """What the model lost besides the records."""
    before, after, found = effect["before"], effect["after"], []
    if (fallen := before["TA"] - after["TA"]) > policy.utility:
        found.append(f"the accuracy on test images fell by {fallen:.1f} points")
    name = "MIA_privacy_confidence"
    risen = after.get(name, 0.0) - before.get(name, 0.0)
    # More than the policy lets pass, and more than other samples would change.
    if risen > policy.privacy and after[f"{name}_lo"] > before[f"{name}_hi"]:
        found.append(f"an attack on the records that stay does better by {risen:.1f} points")
    return found


def _passed(effect: Mapping[str, Any]) -> str:
    counts = effect["records"]
    shown = counts[FORGOTTEN] + counts[RESIDUAL]
    return (
        f"the original knew {shown} of {effect['forget']} records; of the model no test shows that "
        "it knows more of them than of images that it never saw"
    )
