"""The page of an unlearning: whole, small, safe with foreign text; it says what it leaves out."""

from __future__ import annotations

import html
import json
import re
import subprocess
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from mu.cli.requests import DeviceOptions
from mu.data.forget_request import ForgetRequest
from mu.evaluation.case import Case, Model
from mu.evaluation.membership import Calls
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.unlearning import measure, predict_split
from mu.methods import make_method
from mu.report.comparison.page import FOLDER as OF_COMPARISON
from mu.report.run_page import COMMON, FOLDER, make_page, percent
from mu.report.run_page.classes import MOST
from mu.report.run_page.facts import RunFacts
from mu.report.run_page.pictures import shown_samples
from mu.runs import Run
from mu.tasks.problem import TrackedModel, Unlearned, UnlearningProblem, UnlearnTask
from mu.tasks.run_page import BEST_KNOWN, CHANGED, SPACED, facts_of
from tests.helpers import make_checkpoint, make_dataset
from tests.processes import PATIENCE
from tests.report.comparison.test_page import BROWSER, EVIL, OWNER, Tree

MOST_BYTES = 5_000_000


def facts(forget: str, oracle: bool = True, **data: object) -> RunFacts:
    """Of networks that differ in their seed alone."""
    dataset = make_dataset(**{"train": 200, "test": 60, "classes": 4, **data})
    checkpoints = [make_checkpoint(dataset, seed=seed) for seed in (3, 4, 5)]
    split = checkpoints[0].spec.forget_split(dataset, ForgetRequest.parse(forget))
    device = DeviceOptions(device="cpu")
    problem = UnlearningProblem("a" * 32, checkpoints[0], dataset, split, forget, device)
    run = Run(device="cpu")
    before, ours, theirs = (Model(one, predict_split(one.model, split, run)) for one in checkpoints)
    found = {**measure(ours.outputs, seed=1), "RTE": 1.5}
    done = Unlearned(
        "b" * 32,
        UnlearnTask(problem, make_method("ft", {"lr": 0.1}), 0),
        ours.checkpoint,
        found,
        run,
        ours.outputs,
        TrackedModel("c" * 32, theirs.checkpoint) if oracle else None,
    )
    case = Case(ours, split, run, 1, before, theirs if oracle else None)
    rows = {"original": measure(before.outputs, seed=1), "ft": found}
    return facts_of(done, case, rows)


@pytest.fixture(scope="module")
def of_class() -> RunFacts:
    return facts("class:1")


@pytest.fixture(scope="module")
def page(of_class: RunFacts) -> str:
    return make_page(of_class)


def data_of(text: str) -> dict:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text)
    assert found
    return json.loads(found[1])


def test_it_is_well_formed_and_every_reference_leads_somewhere(page: str) -> None:
    tree = Tree(re.sub(r"<input[^>]*>", "", page))
    assert tree.open == []
    ids = Counter(own["id"] for _, own in tree.tags if "id" in own)
    assert max(ids.values()) == 1, ids.most_common(3)
    for _, own in tree.tags:
        for name in ("aria-describedby", "aria-labelledby", "aria-controls", "data-tip"):
            for target in own.get(name, "").split():
                assert target in ids, f"{name}={target}"
    assert {own["href"][1:] for own in tree.all("a")} <= set(ids)
    assert all(own.get("scope") for own in tree.all("th"))


def test_it_needs_nothing_from_elsewhere_and_no_script_but_its_own(page: str) -> None:
    tree = Tree(re.sub(r"<input[^>]*>", "", page))
    assert all(own["src"].startswith("data:image/png;base64,") for own in tree.all("img"))
    policy = next(own["content"] for own in tree.all("meta") if "http-equiv" in own)
    assert "default-src 'none'" in policy
    scripts = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts
    assert scripts.count("sha256-") == len(tree.all("script")) - 1  # but the data
    assert COMMON == OF_COMPARISON


def test_members_are_those_of_the_unlearned_network(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = iter([False, True, False])  # of the original, of this one, of the oracle

    def of(outputs: SplitOutputs, seed: int) -> Calls:
        return Calls(np.full(len(outputs.forget), next(calls)), None)

    monkeypatch.setattr(Calls, "of", of)
    member = facts("class:1").forget.member
    assert member is not None
    assert member.all()


def test_what_is_shown_is_what_was_measured(of_class: RunFacts, page: str) -> None:
    whole = of_class.scores.counts
    for role, threshold in of_class.thresholds.items():
        place = data_of(page)["scores"]["places"][role]
        if threshold is not None:
            assert place == np.abs(of_class.scores.edges - threshold).argmin()
    assert {part: int(one.sum()) for part, one in whole["oracle"].items()} == {
        "forget": of_class.forget.total, "retain": of_class.retain.total, "test": 45, "unseen": 15,
    }  # fmt: skip
    records = of_class.forget
    assert sorted(records.ranks) == list(range(1, records.total + 1))
    assert (np.diff(records.confidence["unlearned"]) <= 1e-12).all()
    assert set(records.labels.tolist()) == {1}
    right = []
    for role, label in (("original", "original"), ("unlearned", "ft")):
        row = of_class.rows[label]
        right.append(np.trace(of_class.confusions[role]))
        assert right[-1] == pytest.approx((45 * row["TA"] + 15 * row["TA_forgotten"]) / 100)
    assert right[0] != right[1], "or this says nothing"
    assert any(of_class.layers["unlearned"].values()), "how far it moved, not the original"
    assert page.count("<img ") == len(records.images) + len(of_class.retain.images)


def test_a_finished_page_tells_whose_pictures_it_has(of_class: RunFacts, page: str) -> None:
    shown = {*of_class.forget.numbers.tolist(), *of_class.retain.numbers.tolist()}
    assert shown_samples(page.encode()) == shown


def test_points_have_the_answers_of_their_samples(of_class: RunFacts) -> None:
    points, records = of_class.points, of_class.forget
    assert points is not None
    forgotten = np.array(points.parts) == "forget"
    for role, answers in points.answers.items():
        found = dict(zip(points.numbers[forgotten], answers[forgotten], strict=True))
        expected = dict(zip(records.numbers, records.answers[role], strict=True))
        assert found == {number: expected[number] for number in found}
    unseen = np.array(points.parts) == "unseen"
    assert set(points.labels[unseen].tolist()) == {1}


def test_without_oracle_and_without_a_forgotten_class() -> None:
    text = make_page(facts("random:20", oracle=False))
    assert "There is no oracle here" in text
    assert "run again with -P oracle_run_id=train" in text
    assert data_of(text)["roles"] == ["original", "unlearned"]
    assert "unseen" not in data_of(text)["points"]["parts"]


def test_without_a_head_it_says_so(of_class: RunFacts) -> None:
    text = make_page(replace(of_class, points=None, no_points="the network has no head"))
    assert "No features are shown: the network has no head." in text


def test_class_names_are_only_text() -> None:
    names = [EVIL, "</script><script>window.hacked = 3</script>", "x" * 100_000, "' \" & `"]
    text = make_page(facts("class:0", names=names))
    tree = Tree(re.sub(r"<input[^>]*>", "", text))
    assert tree.open == []
    assert len(tree.all("script")) == 3
    assert not [own for _, own in tree.tags if any(name.startswith("on") for name in own)]
    assert "window.hacked" in "".join(tree.texts)
    assert len(text) < 1_500_000


def test_many_records_are_chosen_from_and_the_page_stays_small() -> None:
    count = 10_000
    draws = np.random.default_rng(0)
    one = facts("class:1")
    shown = BEST_KNOWN + SPACED

    def many(records, number):
        pixels = draws.integers(0, 256, (number, 224, 224, 3), np.uint8)  # which no PNG makes small
        rows = np.arange(number) % len(records)
        return replace(
            records,
            total=count,
            **{name: getattr(records, name)[rows] for name in ("labels", "published")},
            ranks=np.arange(number),
            numbers=np.arange(number),
            answers={role: all_[rows] for role, all_ in records.answers.items()},
            confidence={role: all_[rows] for role, all_ in records.confidence.items()},
            member=None if records.member is None else records.member[rows],
            as_sure=None if records.as_sure is None else records.as_sure[rows],
            files=["f" * 5000] * number,
            images=list(pixels),
        )

    text = make_page(replace(one, forget=many(one.forget, shown), retain=many(one.retain, CHANGED)))
    assert len(text.encode()) < MOST_BYTES
    assert f"{shown} of {count:,} are shown" in text


def test_so_many_forgotten_records_are_chosen() -> None:
    records = facts("random:170", oracle=False).forget
    assert (len(records), records.total) == (BEST_KNOWN + SPACED, 170)
    assert records.ranks[-1] == 170


def test_of_many_classes_some_are_shown() -> None:
    count = MOST + 15
    one = facts("class:33", train=count * 6, test=count * 3, classes=count)
    text = make_page(one)
    assert f"{MOST} of {count} classes are shown" in text
    assert {row["name"] for row in data_of(text)["accuracy"]} >= {"class_33"}


@pytest.mark.parametrize(
    ("share", "text"),
    [
        (0.0, "0 %"),
        (1.0, "100 %"),
        (1e-9, "<0.01 %"),
        (1 - 1e-9, ">99.99 %"),
        (0.123456, "12.35 %"),
    ],
)
def test_a_probability_that_is_nearly_certain_is_said_to_be(share: float, text: str) -> None:
    assert percent(share) == text


def test_the_script_keeps_nothing_and_asks_nobody() -> None:
    for file in ("page.css", "page.js"):
        text = (FOLDER / file).read_text()
        for foreign in (
            "@import",
            "http",
            "localStorage",
            "sessionStorage",
            "cookie",
            "url(",
            "innerHTML",
            "eval(",
        ):
            assert foreign not in text


# --- a real browser -----------------------------------------------------------------------

# Stands before the page's policy, uses the page from inside, and reports to the frame's owner.
PROBE = """<script>
window.troubles = [];
addEventListener("error", (e) => troubles.push(String(e.message)));
addEventListener("securitypolicyviolation", (e) => troubles.push(e.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...words) => troubles.push(words.join(" "));
const use = () => {
  const root = document.documentElement;
  const slider = document.getElementById("threshold");
  const rates = () => document.getElementById("rates").tBodies[0].textContent;
  const before = rates();
  slider.value = 0;
  slider.dispatchEvent(new Event("input"));
  const called = [...document.querySelectorAll("#rates td[data-cell=forget]")];
  const everything = called.map((one) => one.textContent);
  document.getElementById("own").click();
  document.querySelector("[data-filter=member]").click();
  const shown = document.querySelectorAll("#f > li:not([hidden])").length;
  return { wide: root.scrollWidth - root.clientWidth, charts: document.querySelectorAll(".chart svg").length,
    everything, back: rates() === before, shown, hacked: window.hacked ?? 0, width: innerWidth };
};
addEventListener("load", () => setTimeout(() => {
  let found = {};
  try { found = use(); } catch (error) { troubles.push(String(error)); }
  parent.postMessage({ troubles, ...found }, "*");
}, 300));
</script>"""  # noqa: E501


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no chromium; apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(width: int, tmp_path: Path) -> None:
    shown = facts("class:0", names=[EVIL, "x" * 300, "c", "d"])
    page = make_page(replace(shown, asked_for=EVIL, warnings=[EVIL + "y" * 300]))
    owner = tmp_path / "owner.html"
    probed = page.replace("<head>", f"<head>{PROBE}", 1)
    owner.write_text(OWNER.format(width=width, page=html.escape(probed)))
    done = subprocess.run(
        [
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=30000",
            "--disable-features=IsolateSandboxedIframes,SitePerProcess", "--window-size=1600,1000",
            owner.as_uri(),
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    text = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert text, done.stderr
    found = json.loads(html.unescape(text[1]))
    assert found["troubles"] == []
    assert (found["width"], found["charts"], found["hacked"]) == (width, 5, 0)
    assert found["wide"] <= 0
    assert found["everything"] == ["100.00"] * 3
    assert found["back"]
    members = shown.forget.member
    assert members is not None
    assert found["shown"] == min(24, int(members.sum()))
