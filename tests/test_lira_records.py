"""The list of records of a lira run: names, order, what is shown, and what cannot be told."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from mu.data.manifest import Manifest, PartFiles
from mu.evaluation.attacks.exposure import Exposure
from mu.evaluation.records import Records, exposed_shares
from mu.report import lira as lira_page
from mu.tasks.records import WORST, notes_on, rows_of, worst
from tests.helpers import make_dataset


def exposure_of(rates: Any) -> Exposure:
    rates = np.asarray(rates, float)
    return Exposure(rates, rates / 2, np.minimum(2 * rates, 100), -rates)


def records(part: str, rates: Any, **others: Any) -> Records:
    """Records of the first samples of the data, with these rates in the unlearned model."""
    count = len(rates)
    seen = np.repeat([[True], [False]] * 4, count, 1)
    right = seen.copy()
    right[:, 1:] = True  # only the first sample is memorised
    exposures = {"unlearned": exposure_of(rates)}
    exposures |= {name: exposure_of(values) for name, values in others.items()}
    return Records(part, np.arange(count) + (20 if part == "retain" else 0), exposures, right, seen)


def parts(unseen: int = 100) -> dict[str, Records]:
    forget = [50.0, 0.004, 7.0, 90, 90, 90, 90, 90, 90, 90, 90, 30]
    return {
        "forget": records("forget", forget, original=np.arange(12.0) + 1),
        "unseen": records("unseen", [50.0] * unseen),
        "retain": records("retain", [3.0, 2.0]),
    }


def with_names() -> Any:
    data = make_dataset(train=30, test=10)
    files = PartFiles([f"a_{n}*b/{n}|.png" for n in range(30)])
    return replace(data, manifest=Manifest("root", files, PartFiles(["t"] * 10)))


def test_forgotten_records_come_first_the_most_exposed_first_with_their_files() -> None:
    data = with_names()
    rows = rows_of(parts(), data)
    assert [row["sample"] for row in rows[:4]] == [1, 2, 11, 0]
    assert [row["part"] for row in rows] == ["forget"] * 12 + ["retain"] * 2
    assert [row["sample"] for row in rows[12:]] == [21, 20]
    assert [row["rank"] for row in rows[12:]] == [1, 2]
    assert rows[0]["file"] == "a_1*b/1|.png"
    assert rows[0]["class"] == data.classes[int(data.train.labels[1])]
    assert (rows[0]["fpr"], rows[0]["fpr_lo"], rows[0]["fpr_hi"]) == ("0.004", "0.002", "0.008")
    assert rows[0]["fpr_before"] == "2"
    assert "fpr_oracle" not in rows[0]
    assert (rows[3]["memorisation"], rows[0]["memorisation"]) == ("1.0000", "0.0000")
    assert float(rows[3]["memorisation_se"]) == pytest.approx((2 * 5 / 6 / 6 / 6) ** 0.5, abs=1e-4)


def test_the_worst_ten_are_shown_and_foreign_names_are_no_markup(
    capsys: pytest.CaptureFixture[str],
) -> None:
    rows = worst(rows_of(parts(), with_names()))
    assert len(rows) == WORST
    lira_page.print_worst(rows)
    out = capsys.readouterr().out
    for text in ("a_1*b/1|.png", "<0.01 [<0.01, <0.01]", "7.00 [3.50, 14]", "1.00 ± 0.22"):
        assert text in out
    page = lira_page.describe_records({}, {"memorisation": 0.1}, rows, ["no more"])
    assert r"| 1 | a_1\*b/1\|.png |" in page
    assert "Note: no more." in page
    assert "forgotten 0.100" in page


def test_shares_of_exposed_records_are_shown_by_model(capsys: pytest.CaptureFixture[str]) -> None:
    numbers = {"exposed_at_1": 12.0, "exposed_at_1_lo": 5.0, "exposed_at_1_hi": 20.0}
    lira_page.print_exposed({"original": numbers, "unlearned": {"exposed_at_1": 1.0}})
    out = capsys.readouterr().out
    assert "12.0 [5.0, 20.0]" in out
    assert "forgotten" in out
    assert "retained" not in out
    lira_page.print_exposed({"original": {"lira_auc": 0.5}})
    assert capsys.readouterr().out == ""


def test_1_percent_is_not_given_where_it_cannot_be_resolved() -> None:
    given = exposed_shares(parts(), "unlearned")
    assert {"exposed_at_1", "exposed_at_1_retain_hi", "exposed_at_1_unseen_lo"} <= set(given)
    assert exposed_shares(parts(99), "unlearned") == {}
    few = parts()
    few["unseen"] = replace(few["unseen"], seen=few["unseen"].seen[:6])
    assert exposed_shares(few, "unlearned") == {}


def test_what_cannot_be_told_is_said() -> None:
    whole = {"whole_class": False}
    assert notes_on(parts(), 8, **whole) == []
    (few,) = notes_on(parts(), 6, **whole)
    assert "cannot be resolved with 6 references and 100 test images" in few
    (small,) = notes_on(parts(99), 8, **whole)
    assert "99 test images" in small
    nothing = np.full(12, np.nan)
    unknown = parts()
    unknown["forget"] = records("forget", nothing)
    (spread,) = notes_on(unknown, 2, **whole)
    assert "no spread" in spread
    assert rows_of(unknown, with_names())[0]["fpr"] == ""
    assert worst(rows_of(unknown, with_names())) == []
    (deep,) = notes_on(parts(), 8, whole_class=True)
    assert "whatever is left" in deep
