"""What an erasure is planned to do: whose records, and what becomes of their copies."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import yaml

from mu.cli.requests import DeviceOptions, EraseOptions, Request
from mu.tasks.erase.identity import Sealer
from mu.tasks.erase.plan import ErasePlan, make_plan
from mu.tasks.erase.statement import record_rows
from mu.tracking import connect
from tests.conftest import store_uri
from tests.erase.conftest import PERSONS, World, listed, write_request

ONE = "Quillon Abernathy"
COPY = 4  # of the image 3


@pytest.fixture
def plan(registered: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Plans the request of one person, by a policy; nothing is written to the store."""
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(registered.path))
    request = write_request(tmp_path / "request.csv", listed(PERSONS))

    def made(subject: str | None = ONE, **policy: object) -> ErasePlan:
        (tmp_path / "policy.yaml").write_text(yaml.safe_dump(policy))
        given = {"records": str(request), "prune_run_id": registered.original, "subject": subject}
        options = EraseOptions.of({**given, "policy": str(tmp_path / "policy.yaml")})
        plan = make_plan(connect(), options, Request(), DeviceOptions(device="cpu"))
        assert isinstance(plan, ErasePlan)
        return plan

    return made


def statuses(plan: ErasePlan) -> dict[int, str]:
    rows = record_rows(plan, Sealer())
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["number"]: row["status"] for row in rows}


def test_the_records_of_one_person_and_their_copies(plan) -> None:
    found = plan()
    assert found.split.forget.tolist() == [0, 1, 2, 3, COPY]
    assert {one.subject for one in found.records} == {ONE}
    trained = dict.fromkeys((0, 1, 2, 3), "trained")
    assert statuses(found) == {**trained, COPY: "copy", 5: "validation"}
    assert len(plan(subject=None).split.forget) == 10


def test_it_is_due_as_the_policy_says(plan) -> None:
    found = plan(days=3, near_copies="skip")
    assert found.due - found.received == timedelta(days=3)


def test_copies_are_kept_where_the_policy_says_so(plan) -> None:
    found = plan(copies="keep")
    assert (found.split.forget.tolist(), found.copies.tolist()) == ([0, 1, 2, 3], [COPY])
    assert "copy" not in statuses(found).values()


def test_near_copies_are_by_the_policy(plan) -> None:
    loose, strict = plan(near_at=0.8), plan(near_at=1.0)
    assert len(strict.near.numbers) == 0 < len(loose.near.numbers)
    assert min(loose.near.similarity) >= 0.8
    assert not np.isin(loose.near.numbers, loose.split.forget).any()  # they are listed alone
    forgotten = plan(near_at=0.8, near_copies="forget")
    assert np.isin(forgotten.near.numbers, forgotten.split.forget).all()
    near = {number for number, status in statuses(forgotten).items() if status == "near_copy"}
    assert near == set(forgotten.near.numbers.tolist())
