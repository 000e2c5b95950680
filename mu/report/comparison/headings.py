"""What a group of runs is, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mu.report.comparison.groups import differing
from mu.report.comparison.records import UPSTREAM, SeedRun

Shared = Mapping[str, str]
_SAID = ("dataset", "arch", "forget", "oracle", "trigger", "poison", "history")
_FINGERPRINTS = ("data", "forget set")
_CLEAN = "oracle with a mask of its own"


def heading(groups: Sequence[Shared]) -> list[str]:
    """A heading for each group, no two of which are the same.

    Parameters
    ----------
    groups
        What the runs of each have in common, by name.
    """
    plain = [_plain(one) for one in groups]
    found = []
    for one, words in zip(groups, plain, strict=True):
        same = [other for other, its in zip(groups, plain, strict=True) if its == words]
        extra = [
            f"{name.removeprefix('prune_')} {_short(name, value)}"
            for name, value in differing(one, same)
        ]
        found.append(f"{words} ({', '.join(extra)})" if extra else words)
    return found


def _plain(shared: Shared) -> str:
    words = f"{shared.get('dataset', 'data')}, {shared.get('arch', 'network')}: "
    words += f"forget {shared.get('forget', '?')}"
    if trigger := shared.get("trigger"):
        words += f", backdoor {trigger} on {shared.get('poison', '?')}"
    if shared.get("history", "('pruned',)") not in ("('pruned',)", "['pruned']", "('imported',)"):
        words += f", after {shared['history'].strip('()[]').rstrip(',')}"
    if shared.get("oracle", UPSTREAM) != UPSTREAM:
        words += f", {_CLEAN}"
    return words


def _short(name: str, value: str) -> str:
    return value[:8] if name in _FINGERPRINTS else value


def shared_words(shared: Shared, runs: Sequence[SeedRun]) -> dict[str, str]:
    """What a reader wants to know of all runs of a group, by name, the rarely asked left out."""
    found = {}
    for name in ("epochs", "optimizer", "lr", "batch_size", "weight_decay", "schedule", "augment"):
        if value := shared.get(f"prune_{name}"):
            found[name] = value
    if value := shared.get("prune_label_smoothing"):
        found |= {"label_smoothing": value} if value != "0" else {}
    if value := shared.get("prune_sam_rho"):
        found |= {"sam_rho": value} if value != "0" else {}
    if "data" in shared:
        found["data"] = _short("data", shared["data"])
    for place, name in enumerate(("split", "training", "unlearning")):
        seeds = sorted({run.seeds[place] for run in runs})
        found[f"{name} seed{'s' if len(seeds) > 1 else ''}"] = ", ".join(map(str, seeds))
    return found
