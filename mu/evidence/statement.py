"""The statement of a bundle: which files, by their sha256, and what is stated about them.

It is an in-toto Statement v1, whose predicate ``data_erasure.schema.json`` describes.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Mapping
from importlib import resources
from typing import TYPE_CHECKING, Any

from mu.evidence.canonical import canonical, read_canonical

if TYPE_CHECKING:
    from jsonschema import Draft202012Validator

TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "urn:mu:data-erasure:v0.1"
SCHEMA_FILE = "data_erasure.schema.json"
MOST_LETTERS = 300  # of what the schema's checker says of a value


def make_statement(subjects: Mapping[str, str], predicate: Mapping[str, Any]) -> bytes:
    """The statement of files, by name their sha256; a ValueError if it has not the schema."""
    subject = [{"name": one, "digest": {"sha256": subjects[one]}} for one in sorted(subjects)]
    document = {
        "_type": TYPE,
        "subject": subject,
        "predicateType": PREDICATE_TYPE,
        "predicate": predicate,
    }
    content = canonical(document)
    read_statement(content)
    return content


def read_statement(content: bytes) -> tuple[dict[str, str], dict[str, Any]]:
    """The files with their sha256, and the predicate.

    A ValueError that names the place if the statement is not as :func:`make_statement` writes it.
    """
    subjects = read_subjects(content)
    if fault := _fault(content):
        raise ValueError(fault)
    return subjects, read_canonical(content)["predicate"]


def read_subjects(content: bytes) -> dict[str, str]:
    """The files of a statement with their sha256, whatever else is in it.

    A ValueError if it has none, or names one twice.
    """
    document = read_canonical(content)
    try:
        pairs = [(one["name"], one["digest"]["sha256"]) for one in document["subject"]]
    except (KeyError, TypeError) as error:
        raise ValueError("subject is no list of name and digest.sha256") from error
    names = [name for name, _ in pairs]
    if not all(isinstance(one, str) for pair in pairs for one in pair):
        raise ValueError("a name or sha256 in subject is no text")
    if sorted({*names}) != names:
        raise ValueError("names in subject are not sorted, or stand twice")
    return dict(pairs)


@functools.lru_cache(maxsize=4)  # one statement is read by several checks, and takes milliseconds
def _fault(content: bytes) -> str:
    """What most likely is wrong with a statement by the schema; empty if nothing is."""
    from jsonschema.exceptions import best_match

    found = best_match(_validator().iter_errors(read_canonical(content)))
    if found is None:
        return ""
    return f"{'.'.join(map(str, found.absolute_path)) or 'the statement'}: {_short(found.message)}"


def _short(text: str) -> str:
    return text if len(text) <= MOST_LETTERS else f"{text[:200]}...{text[-90:]}"


@functools.cache
def _validator() -> Draft202012Validator:
    from jsonschema import Draft202012Validator

    return Draft202012Validator(schema())


def schema() -> dict[str, Any]:
    """The schema of a statement (JSON Schema, Draft 2020-12)."""
    text = resources.files(__package__).joinpath(SCHEMA_FILE).read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found
