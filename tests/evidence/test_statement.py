"""Statements: what the schema asks for, and that what is wrong is named with its place."""

from __future__ import annotations

import json

import pytest

from mu.evidence.canonical import canonical
from mu.evidence.statement import make_statement, read_statement, schema
from tests.evidence.made import SUBJECTS, predicate

WRONG = {
    "request.id": "somebody@example.com",
    "request.kind": "other",
    "request.receivedAt": "2026-11-03T09:00:00+01:00",
    "request.entries": 0,
    "request.found.trained": -1,
    "request.list.hmacSha256": "0F" * 32,
    "scope.data.trainedOn": 1.5,
    "scope.copies.threshold": 2,
    "scope.models": [{}],
    "scope.leftovers": None,
    "action.settings": [],
    "action.model.weights": "0f" * 8,
    "action.unlearnedAt": 3,
    "action.threads": 0,
    "policy": None,
    "effect.after.UA": 101,
    "effect.before": {},
    "effect.gap": -1,
    "effect.records.residual": None,
    "verdict.word": "gone",
    "limits": [],
}


def test_a_statement_is_read_as_it_was_made() -> None:
    content = make_statement(SUBJECTS, predicate())
    assert read_statement(content) == (SUBJECTS, predicate())
    document = json.loads(content)
    assert document["_type"] == "https://in-toto.io/Statement/v1"
    assert list(document) == sorted(document)
    assert content.endswith(b"}\n")
    assert make_statement(dict(reversed(SUBJECTS.items())), predicate()) == content


@pytest.mark.parametrize("place", WRONG)
def test_a_value_that_the_schema_has_not_is_named(place: str) -> None:
    with pytest.raises(ValueError, match=rf"^predicate\.{place}"):
        make_statement(SUBJECTS, predicate(place, WRONG[place]))


def fields(inside: dict, place: str = "") -> list[str]:
    found = []
    for name, one in inside.items():
        found.append(f"{place}{name}")
        if isinstance(one, dict):
            found += fields(one, f"{place}{name}.")
    return found


# Metrics, settings, thresholds: whichever there are.
FREE = ("effect.before.", "effect.after.", "policy.", "action.settings.")


@pytest.mark.parametrize("place", [one for one in fields(predicate()) if not one.startswith(FREE)])
def test_no_field_may_be_missing(place: str) -> None:
    found = predicate()
    inside = found
    *parents, last = place.split(".")
    for name in parents:
        inside = inside[name]
    del inside[last]
    with pytest.raises(ValueError, match=f"'{last}' is a required property"):
        make_statement(SUBJECTS, found)


def test_unknown_fields_are_ignored() -> None:
    found = {**predicate("request.more", 1), "more": {"further": []}}
    assert read_statement(make_statement(SUBJECTS, found))[1] == found


def test_what_is_no_statement() -> None:
    document = json.loads(make_statement(SUBJECTS, predicate()))
    one, *others = document["subject"]
    wrong = {
        "subject is no list": {**document, "subject": None},
        "no text": {**document, "subject": [{"name": "a", "digest": {"sha256": None}}]},
        "not sorted, or stand twice": {**document, "subject": [*others, one]},
        "twice": {**document, "subject": [one, one, *others]},
        "predicateType": {**document, "predicateType": "https://slsa.dev/provenance/v1"},
        "_type": {**document, "_type": "https://in-toto.io/Statement/v0.1"},
    }
    for words, changed in wrong.items():
        with pytest.raises(ValueError, match=words):
            read_statement(canonical(changed))
    content = canonical(document)
    for changed in (content[:-1], content.replace(b" ", b"  "), b"\xff", b"[1]", b"{"):
        with pytest.raises(ValueError):  # noqa: PT011 - in many words
            read_statement(changed)
    with pytest.raises(ValueError, match="not JSON compliant"):
        make_statement(SUBJECTS, predicate("effect.gap", float("nan")))


def test_the_schema_is_one() -> None:
    from jsonschema import Draft202012Validator

    Draft202012Validator.check_schema(schema())
