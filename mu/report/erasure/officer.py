"""The page for the data protection officer: one file, one sheet of paper, limits first."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup

from mu.report.erasure import words
from mu.report.erasure.effect import lines
from mu.report.erasure.text import count, day, late, number, plain, unchanged

FOLDER = Path(__file__).parent
# Colours and type are those of the page of a comparison.
COMMON = FOLDER.parent / "comparison" / "page"

# What fits on one sheet.
MODELS, LEFTOVERS, LIMITS, REASONS, UNTESTED, SETTINGS = 4, 3, 3, 3, 6, 3
NAME, SENTENCE = 34, 130
DIGEST = 64  # hex digits of sha256


class Listed(NamedTuple):
    """The first of a list, and how many are left out."""

    shown: list[Any]
    more: int


def page(
    predicate: Mapping[str, Any], records: Sequence[Mapping[str, Any]], signed_by: str | None
) -> str:
    """The officer's page; every string of the statement is foreign text and is escaped.

    ``signed_by``: the fingerprint of the key that signs the bundle; None if nobody does.
    """
    request, scope = predicate["request"], predicate["scope"]
    effect = predicate.get("effect") or {}
    verdict = predicate["verdict"]
    return _template().render(
        request=request,
        found=[(text, request["found"].get(name, 0)) for name, text in words.STATUSES.items()],
        scope=scope,
        limits=_first(_own_limits(predicate), LIMITS),
        untested=_first(effect.get("notTested", ()), UNTESTED),
        models=_first(scope["models"], MODELS),
        decisions=(decisions := words.UNDONE if _closed(predicate) else words.DECISIONS),
        decided=_decided(scope["models"], decisions),
        closed=_closed(predicate),
        action=predicate.get("action"),
        settings=_settings(predicate.get("action") or {}),
        mask=_mask(scope.get("masks", ())),
        effect=effect,
        lines=lines(effect),
        verdict=verdict,
        reasons=_first(verdict["reasons"], REASONS),
        bars=_bars(records),
        worst=_worst(records),
        leftovers=_first(sorted(scope["leftovers"], key=_removed), LEFTOVERS),
        left=sum(not _removed(one) for one in scope["leftovers"]),
        signed_by=signed_by,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=FileSystemLoader(FOLDER), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.globals |= {
        "css": Markup("".join((folder / "page.css").read_text() for folder in (COMMON, FOLDER))),
        "count": count,
        "day": day,
        "late": late,
        "number": number,
        "plain": plain,
        "unchanged": unchanged,
        "words": words,
        "NAME": NAME,
        "SENTENCE": SENTENCE,
        "DIGEST": DIGEST,
    }
    return environment.get_template("page.html")


def _first(found: Iterable[Any], most: int) -> Listed:
    listed = list(found)
    return Listed(listed[:most], max(len(listed) - most, 0))


def _own_limits(predicate: Mapping[str, Any]) -> list[str]:
    return [one for one in predicate["limits"] if one not in words.STANDING_LIMITS]


def _closed(predicate: Mapping[str, Any]) -> str:
    """Why the gate is closed; empty if it is open."""
    return str((predicate.get("action") or {}).get("closed") or "")


def _decided(models: Iterable[Mapping[str, Any]], decisions: Mapping[str, str]) -> str:
    counts = Counter(decisions.get(one["decision"], one["decision"]) for one in models)
    known = dict.fromkeys(decisions.values())
    return ", ".join(f"{counts[text]:,} {text}" for text in known if counts[text])


def _settings(action: Mapping[str, Any]) -> str:
    """Settings of the method on a line; longer ones are in the statement."""
    given = _first((action.get("settings") or {}).items(), SETTINGS)
    told = ", ".join(f"{plain(name, 20)} {plain(value, 12)}" for name, value in given.shown)
    return f"{told}, and {given.more} more" if given.more else told


def _mask(masks: Iterable[Mapping[str, Any]]) -> tuple[str, bool]:
    """What is to be said of the masks in use, and whether it is a caution."""
    used = [one for one in masks if one["used"]]
    if not used:
        return "The statement lists none that is in use.", False
    if any(one["sawRecords"] for one in used):
        return (
            "The choice of weights that are fixed at zero (the mask) was made with the records, "
            "and was kept. A trace may remain in it.",
            True,
        )
    return "The choice of weights that are fixed at zero (the mask) never saw the records.", False


def _bars(records: Iterable[Mapping[str, Any]]) -> list[tuple[str, str, int]]:
    """Verdict, its words, and of how many records."""
    counts = Counter(one.get("verdict") for one in records)
    return [(name, text, counts[name]) for name, text in words.RECORDS.items()]


def _worst(records: Iterable[Mapping[str, Any]]) -> Mapping[str, Any] | None:
    """The record that an attack finds most easily in the new model."""
    known = [one for one in records if one.get("fprAfter") is not None]
    return min(known, key=lambda one: (float(one["fprAfter"]), str(one["id"])), default=None)


def _removed(leftover: Mapping[str, Any]) -> bool:
    return bool(leftover.get("removedAt"))
