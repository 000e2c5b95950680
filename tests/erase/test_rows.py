"""The rows of a bundle: each image once, whatever names it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from mu.erasure.records import resolve
from mu.tasks.erase import statement
from mu.tasks.erase.identity import Sealer
from tests.erasure.test_records import TESTED, data, request_of, spec_of

__all__ = ["request_of"]


@pytest.mark.parametrize("persons", [("A", "A"), ("A", "B")])
def test_test_images_are_counted_one_by_one(persons, request_of, monkeypatch) -> None:
    one, other = persons
    lines = f"subject,record\n{one},test/*\n{other},{TESTED[0]}\n{other},nowhere*\n"
    dataset = data()
    plan: Any = SimpleNamespace(
        records=resolve(request_of(lines), dataset, spec_of(dataset)), dataset=dataset
    )
    monkeypatch.setattr(statement, "_copy_rows", lambda *_: [])
    rows = statement.record_rows(plan, Sealer())
    assert {row["text"] for row in rows} == {*TESTED, "nowhere*"}
    assert len({row["id"] for row in rows}) == len(rows) == 3
    found = statement.asked(plan.records, rows)["found"]
    assert (found["test"], found["unknown"]) == (2, 1)
