"""The officer's page and the person's letter, on samples of all verdicts."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mu.report.erasure import STANDING_LIMITS, letter, page
from mu.report.erasure.text import day, late, number, plain
from mu.report.erasure.words import DECISIONS, KINDS, METHODS, STATUSES

SAMPLES = Path(__file__).parents[2] / "evidence_samples"
NAMES = ("passing", "residual", "no_baseline")
KEY = "SHA256:0123abcd"


def sample(name: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    return tuple(
        json.loads((SAMPLES / name / f"{part}.json").read_text())
        for part in ("predicate", "records")
    )


class Reader(HTMLParser):
    """What a page says, and the elements it consists of."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.said: list[str] = []
        self.feed(text)
        self.text = " ".join("".join(self.said).split())

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attributes)))
        self.said.append(" " if tag in ("td", "dd", "li", "small") else "")

    def handle_data(self, data: str) -> None:
        self.said.append(data)


def read(name: str, signed_by: str | None = KEY) -> str:
    return Reader(page(*sample(name), signed_by)).text


@pytest.mark.parametrize("name", NAMES)
def test_an_officer_finds_what_the_statement_says(name: str) -> None:
    predicate, _ = sample(name)
    text = read(name)
    request, scope, action = (predicate[part] for part in ("request", "scope", "action"))
    wanted = [
        request["id"], KINDS[request["kind"]], day(request["receivedAt"]), day(request["dueAt"]),
        "12 entries of 1 person", *(f"{request['found'][s]} {t}" for s, t in STATUSES.items()),
        *(one["name"] for one in scope["models"]), *(one["reason"] for one in scope["models"]),
        *(DECISIONS[one["decision"]] for one in scope["models"]),
        METHODS[action["method"]], day(action["unlearnedAt"]), "Mask.", action["commit"][:12],
        *(action["model"][part] for part in ("weights", "mask", "spec")),
        *predicate["verdict"]["reasons"], *predicate["limits"], *predicate["effect"]["notTested"],
        "policy.yaml", "mu verify evidence/", KEY, predicate["effect"]["attack"],
    ]  # fmt: skip
    assert [one for one in wanted if one not in text] == []
    assert text.index(STANDING_LIMITS[0]) < text.index("The request")


def test_before_after_and_a_model_that_never_saw_are_told_apart() -> None:
    text = read("passing")
    assert "0.81 0.53 0.36 to 0.70 0.52" in text
    assert "0.0 % 10.0 % 10.0 %" in text
    assert "8 forgotten 0 trace remains 2 nothing can be shown" in text
    assert "There is no third model" in read("no_baseline")


def test_what_is_bad_is_said() -> None:
    predicate, records = sample("residual")
    predicate["verdict"]["usable"] = False
    text = Reader(page(predicate, records, None)).text
    assert "may not be used, by the policy" in text
    assert "after the due day" in text
    assert "with changes that no commit holds" in text
    assert "Not forgotten: a trace remains." in text
    assert "Not signed." in text
    assert "--unsigned" in text
    assert "Signed with the key" not in text
    assert "Not removed" in text


def test_a_closed_gate_claims_nothing_that_was_not_done() -> None:
    predicate, records = sample("no_baseline")
    action = predicate["action"]
    action |= {
        "closed": "the verdict is no_baseline",
        "method": "nothing",
        "model": action["original"],
    }
    predicate["scope"]["models"] *= 2
    predicate["scope"]["models"][0] = {**predicate["scope"]["models"][0], "decision": "retire"}
    text, written = Reader(page(predicate, records, KEY)).text, " ".join(letter(predicate).split())
    assert "The gate is closed: the verdict is no_baseline. No model was replaced" in text
    assert "nothing was changed" in text
    assert "1 not retired" in text
    assert "That left the model as it was" in written
    assert "(the verdict is no_baseline). So the old model was not replaced" in written
    for claim in ("We changed", "all the same", "are taken out of use", "are replaced"):
        assert claim not in written


def spoilt(value: Any, text: str) -> Any:
    """The same with every string replaced."""
    if isinstance(value, dict):
        return {key: spoilt(one, text) for key, one in value.items()}
    if isinstance(value, list):
        return [spoilt(one, text) for one in value]
    return text if isinstance(value, str) else value


HOSTILE = [
    "<script>alert(1)</script><img src=x onerror=alert(1)>\"'>" * 9,
    "\u202e\u2066\x00\x1b[2J\ud800 " + "W" * 20_000,
    "بحذف 👩\u200d👩\u200d👧 Z" + "\u0338" * 500,
]


@pytest.mark.parametrize("text", HOSTILE)
def test_foreign_strings_stay_inert_and_short(text: str) -> None:
    predicate, records = spoilt(sample("passing"), text)
    made = page(predicate, records, text)
    made.encode()
    reader = Reader(made)
    assert not {"script", "img", "iframe"} & {tag for tag, _ in reader.elements}
    assert not [name for _, given in reader.elements for name in given if name.startswith("on")]
    assert not set("\u202e\u2066\x00\x1b") & set(made)
    assert len(made) < 60_000
    written = letter(predicate)
    assert written.encode()
    assert len(written) < 5_000


def test_long_lists_are_counted_and_say_where_the_rest_is() -> None:
    predicate, records = sample("passing")
    scope = predicate["scope"]
    scope["models"] *= 20
    scope["leftovers"] *= 20
    predicate["limits"] = [f"limit {i}" for i in range(50)]
    text = Reader(page(predicate, records, KEY)).text
    assert "56 more models: all are in statement.json under scope.models" in text
    assert "and 37 more, in statement.json under scope.leftovers" in text
    assert "and 47 more, in statement.json under limits" in text
    assert "20 unlearned, 20 retired, 20 not affected" in text


MEANING = {
    "passing": ["It passed these tests.", "For some of the records nothing can be shown"],
    "residual": ["not finished", "later than the law allows"],
    "no_baseline": ["we cannot show you that something is gone", "We trained a new model from"],
}


@pytest.mark.parametrize("name", NAMES)
def test_the_letter_says_what_happened_in_plain_words(name: str) -> None:
    predicate, _ = sample(name)
    text = letter(predicate)
    flowing = " ".join(text.split())
    for part in ("WHAT YOU ASKED", "WHAT WE DID", "WHAT IT MEANS", "WHAT REMAINS UNCERTAIN"):
        assert part in text
    for said in [*MEANING[name], "We received this on 3 November 2026", "1: not found"]:
        assert said in flowing
    for others in set(NAMES) - {name}:
        assert not [said for said in MEANING[others] if said in flowing]
    assert "[contact]" in text
    assert "MIA" not in text
    assert "digits" not in text
    assert max(map(len, text.splitlines())) <= 76


def test_a_person_of_a_batch_whose_records_were_not_trained_on() -> None:
    predicate, _ = sample("passing")
    predicate["request"]["found"] = dict.fromkeys(STATUSES, 0) | {"validation": 2}
    flowing = " ".join(letter(predicate).split())
    assert "did not learn from these records" in flowing
    for others in ("We changed", "taken out of use", "WHAT IT MEANS", "working copies"):
        assert others not in flowing


def test_nothing_found() -> None:
    predicate, _ = copy.deepcopy(sample("no_baseline"))
    predicate |= {"action": None, "effect": None}
    predicate["request"]["found"] = dict.fromkeys(STATUSES, 0) | {"unknown": 12}
    predicate["scope"] |= {"models": [], "masks": [], "leftovers": []}
    flowing = " ".join(letter(predicate).split())
    assert "12: not found" in flowing
    assert "did not learn from these records" in flowing
    assert "WHAT IT MEANS" not in flowing
    text = Reader(page(predicate, [], None)).text
    assert "No model in the store learned from these records." in text
    assert "No model was changed." in text


def test_texts_dates_and_numbers() -> None:
    assert plain("a\n b", 9) == "a b"
    assert plain("漢字漢字", 5) == "漢字…"
    assert plain(None, 12) == plain("\u202e", 12) == "not stated"
    assert day("2026-11-03T23:30:00-02:00") == "4 November 2026"
    assert day("soon") == "soon"
    assert late("2026-12-04T00:00:00Z", "2026-12-03T00:00:00Z")
    assert not late("soon", "2026-12-03T00:00:00Z")
    assert number(float("nan"), 1) == number(None, 1) == "\u2013"


@pytest.mark.slow
def test_neither_torch_nor_a_store_is_needed() -> None:
    code = "import sys, mu.report.erasure; sys.exit(bool({'torch', 'mlflow'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
