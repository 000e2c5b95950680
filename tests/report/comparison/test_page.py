"""The page: whole, safe with foreign text, and in a real browser without errors or overflow."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from mu.evaluation.catalogue import METRICS
from mu.report.comparison.figures import draw_all
from mu.report.comparison.formats import to_latex, to_markdown
from mu.report.comparison.page import FOLDER, SCRIPTS, _originals, make_page
from mu.report.comparison.table import tabulate
from mu.run_record import RunRecord
from tests.processes import PATIENCE
from tests.report.comparison.made import BEFORE, a_study, make_run

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
EVIL = '<script>window.hacked = 1</script>"><img src=x onerror="window.hacked = 2">'
VOID = {"meta", "link", "img", "br", "input", "use", "path"}


class Tree(HTMLParser):
    """Tags with their attributes, the text, and whether every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.texts: list[str] = []
        self.open: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, {name: value or "" for name, value in attrs}))

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def all(self, tag: str) -> list[dict[str, str]]:
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(
    runs: Sequence[RunRecord], title: str = "A study", notes: Sequence[str] = (), server: str = ""
) -> str:
    tables = tabulate(runs)
    return make_page(
        title, "some runs", tables, draw_all(tables), notes=notes, run_id="me", tracking_ui=server
    )


def data_of(page: str) -> list[dict[str, Any]]:
    """The tables as the page's scripts read them."""
    found = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert len(found) == 1
    return list(json.loads(found[0]))


@pytest.fixture(scope="module")
def study() -> str:
    return page_of([*a_study(), make_run("lonely", forget="class:1")])


def test_it_is_well_formed_and_every_reference_leads_somewhere(study: str) -> None:
    tree = Tree(study)
    assert tree.open == []
    ids = Counter(own["id"] for _, own in tree.tags if "id" in own)
    assert max(ids.values()) == 1, ids.most_common(3)
    for _, own in tree.tags:
        for name in ("aria-describedby", "aria-labelledby", "data-tip", "popovertarget"):
            for target in own.get(name, "").split():
                assert target in ids, f"{name}={target}"
    local = [own["href"][1:] for own in tree.all("a") if own["href"].startswith("#")]
    assert local
    assert set(local) <= set(ids)


def test_it_needs_nothing_from_elsewhere(study: str) -> None:
    for tag, own in Tree(study).tags:
        assert not own.get("src")
        if tag in ("link", "use", "image"):
            assert own["href"].startswith(("data:", "#"))
        if tag == "a" and not own["href"].startswith("#"):
            assert own["target"] == "_blank"
            assert "noopener" in own["rel"]
    assert "default-src &#39;none&#39;" in study or "default-src 'none'" in study
    for file in ("page.css", *SCRIPTS):
        text = (FOLDER / file).read_text()
        for foreign in (
            "@import",
            "http://",
            "https://",
            "fetch(",
            "eval(",
            "localStorage",
            "sessionStorage",
            "cookie",
            "url(",
        ):
            assert foreign not in text


def test_every_number_leads_to_its_runs_and_its_definition(study: str) -> None:
    tree = Tree(study)
    links = {own["href"].rpartition("/")[2] for own in tree.all("a") if "/runs/" in own["href"]}
    assert links == {run.run_id for run in a_study()} | {"lonely"}
    numbers = [own for _, own in tree.tags if own.get("class") == "number"]
    # 2 x 6 for each method, 2 x 5 for the oracle, and 5 for the lonely run.
    assert len(numbers) == 2 * 12 + 10 + 5
    for own in numbers:
        name = own["data-tip"].removeprefix("d-")
        assert METRICS[name].definition in html.unescape(study)
        assert re.search(r"run \S+ · seeds \d+/\d+/\d+", own["data-more"])
    single = [own for own in numbers if "href" in own]
    assert {own["href"].rpartition("/")[2] for own in single} == {"lonely"}


def test_figures_have_words_and_tables(study: str) -> None:
    tree = Tree(study)
    figures = [own for own in tree.all("div") if own.get("role") == "img"]
    charts = [own for own in tree.all("div") if own.get("class") == "chart"]
    assert all("arrow keys" in own["aria-label"] for own in charts)
    assert len(figures) + len(charts) == len(tree.all("figure")) == 5 + 2
    assert all(len(own["aria-label"]) > 40 for own in figures)
    headings = [tag for tag, _ in tree.tags if re.fullmatch("h[1-6]", tag)]
    assert headings[0] == "h1"
    assert headings.count("h1") == 1
    assert all(own.get("scope") for own in tree.all("th"))


def test_foreign_text_is_only_text() -> None:
    runs = [
        make_run("a", name=EVIL, forget=EVIL, settings={"x": EVIL}),
        make_run("b", name=EVIL, forget=EVIL, settings={"x": "1"}),
        make_run("c", "retrain", forget=EVIL),
        make_run(EVIL, "ga", forget=EVIL, oracle=EVIL, tags={"mu.upstream": EVIL}),
    ]
    text = page_of(runs, title=EVIL, notes=[EVIL])
    tree = Tree(text)
    assert tree.open == []
    assert len(tree.all("script")) == 3  # the data, the charts' libraries, the page's own
    assert {row["label"] for table in data_of(text) for row in table["rows"]} > {f"ft (x={EVIL})"}
    assert not tree.all("img")
    assert not [own for _, own in tree.tags if any(name.startswith("on") for name in own)]
    assert EVIL in "".join(tree.texts)


@pytest.mark.parametrize("url", ["javascript:alert(1)", "data:text/html,x", "", "file:///etc"])
def test_only_addresses_of_pages_become_links(url: str) -> None:
    tree = Tree(page_of([replace(make_run("a"), url=url)]))
    assert not [own for own in tree.all("a") if own["href"][:1] != "#"]
    assert "a" in "".join(tree.texts)


def test_scripts_have_the_numbers_of_the_table() -> None:
    (table,) = tabulate([*a_study(), make_run("worse", "ga", metrics={"RTE": float("nan")})])
    (data,) = data_of(make_page("A study", "some runs", [table], [[]]))
    shown = table.cells[table.cells["mean"].notna()]
    numbers = [cell for cell in data["cells"] if cell["metric"] in set(shown["metric"])]
    assert [cell["mean"] for cell in numbers] == shown["mean"].tolist()
    for cell, own in zip(numbers, shown.itertuples(), strict=True):
        assert data["rows"][cell["row"]]["label"] == own.row
        assert data["originals"][cell["original"]]["label"] == own.original
        assert cell["ends"] is None or cell["ends"][0] <= own.mean <= cell["ends"][1]
    assert [one["label"] for one in data["metrics"]] == list(table.metrics)
    assert {"UA", "gap", "forgetting", "utility"} <= set(data["axes"])
    assert data["rows"][0] | {"colour": ""} == {
        "label": "retrain", "markdown": "retrain", "latex": "retrain", "kind": "oracle",
        "colour": "",
    }  # fmt: skip


def test_copies_of_the_page_are_written_as_the_files_are(study: str) -> None:
    tables = tabulate(a_study())
    markdown, latex = to_markdown(tables), to_latex(tables)
    shown = [one for one in data_of(study)[0]["cells"] if one["metric"] in tables[0].metrics]
    assert any("**" in one["markdown"] for one in shown)
    assert all(one["markdown"] in markdown and one["latex"] in latex for one in shown)


def test_links_can_be_led_to_another_server() -> None:
    tree = Tree(page_of([make_run("a")]))
    (link,) = {(own["href"], own["data-page"]) for own in tree.all("a") if "data-page" in own}
    assert link == ("http://server/#/experiments/0/runs/a", "/#/experiments/0/runs/a")
    said = [own for own in tree.all("p") if own.get("id") == "server"]
    assert "data-said" not in said[0]
    said = [own for own in Tree(page_of([make_run("a")], server="http://x")).all("p")
            if own.get("id") == "server"]  # fmt: skip
    assert "data-said" in said[0]


def test_originals_have_the_gap_of_doing_nothing() -> None:
    (table,) = tabulate([replace(run, metrics={**BEFORE, **run.metrics}) for run in a_study()])
    known = _originals(table)
    found = table.found("gap")
    assert list(known["gap"]) == list(found[found["method"] == "nothing"]["mean"])
    assert len(known) == 2
    assert "gap" not in _originals(tabulate([make_run("a")])[0])


def test_what_is_no_program_is_installed_with_it() -> None:
    root = Path(__file__).parents[3]
    project = tomllib.loads((root / "pyproject.toml").read_text())
    named = {
        path
        for package, patterns in project["tool"]["setuptools"]["package-data"].items()
        for pattern in patterns
        for path in (root / package.replace(".", "/")).glob(pattern)
    }
    files = [path for path in (root / "mu").rglob("*.*") if path.is_file()]
    assert named == {path for path in files if path.suffix not in (".py", ".pyc")}


# --- a real browser -----------------------------------------------------------------------

# Looks at the page from inside, as a reader would use it, and reports to the frame's owner.
PROBE = """
<script>
window.troubles = [];
addEventListener("error", (e) => troubles.push(String(e.message)));
addEventListener("securitypolicyviolation", (e) => troubles.push(e.violatedDirective));
for (const kind of ["error", "warn"]) console[kind] = (...words) => troubles.push(words.join(" "));
const use = async () => {
  const root = document.documentElement;
  const wide = root.scrollWidth - root.clientWidth;
  const sticksOut = (one) => one.getBoundingClientRect().right > root.clientWidth + 1
    && !one.closest(".scroll, svg, [popover]") && getComputedStyle(one).position !== "absolute";
  const overflowing = [...document.querySelectorAll("body *")].filter(sticksOut)
    .map((one) => `${one.tagName}.${one.className}`);
  const table = document.querySelector("th[data-value=l1_sparse]").closest("table");
  const gap = [...table.querySelectorAll("thead th[scope=col]")].find((one) =>
    one.textContent.trim() === "gap");
  const names = () => [...table.querySelectorAll("tbody th")].map((one) => one.dataset.value);
  const sorted = () => {
    gap.querySelector("button").click();
    return [gap.getAttribute("aria-sort"), names().filter(Boolean)];
  };
  const up = sorted(), down = sorted();
  const dots = () => document.querySelectorAll(".charts .dots path").length;
  const drawn = dots();
  const box = table.closest("section").querySelector(".bench input[value='1']");
  box.click();
  const fewer = [table.querySelectorAll(":scope > tbody > tr:not([hidden])").length, dots()];
  box.click();
  const finder = document.querySelector("#find-runs input");
  finder.value = "l1_sparse 95";
  finder.dispatchEvent(new Event("input"));
  const runs = [...document.querySelectorAll("#runs tbody tr:not([hidden])")]
    .map((one) => one.innerText);
  const mark = document.querySelector(".charts .dots path");
  mark.focus();
  const said = document.getElementById("tip").textContent;
  mark.blur();
  const number = table.querySelector("button.number");
  number.focus();
  const tip = document.getElementById("tip");
  const told = [tip.matches(":popover-open"), tip.textContent];
  number.click();
  await new Promise((done) => setTimeout(done, 50));
  const opened = document.querySelectorAll(".runs:popover-open");
  const place = opened[0]?.getBoundingClientRect(), at = number.getBoundingClientRect();
  const inside = place && place.left >= 0 && place.right <= root.clientWidth;
  const near = Math.min(Math.abs(place.top - at.bottom), Math.abs(at.top - place.bottom));
  return { wide, overflowing, up, down, told, opened: opened.length, inside, near,
    drawn, fewer, runs, said, hacked: window.hacked ?? 0, scripts: document.scripts.length,
    hint: !document.querySelector(".framed").hidden, width: innerWidth };
};
addEventListener("load", async () => {
  let found = {};
  try { found = await use(); } catch (error) { troubles.push(String(error)); }
  parent.postMessage({ troubles, ...found }, "*");
});
</script>
"""
OWNER = """<!doctype html><body style="margin:0"><pre id="found"></pre><script>
addEventListener("message", (e) => {{
  document.getElementById("found").textContent = JSON.stringify(e.data); }});
</script>
<iframe sandbox="allow-scripts" style="width:{width}px;height:900px;border:0" srcdoc="{page}">
</iframe></body>"""


def looked_at(page: str, width: int, folder: Path) -> dict[str, Any]:
    """What the probe says of a page in a frame of that width, sandboxed as MLflow does it."""
    probed = page.replace("<style>", f"{PROBE}<style>", 1)
    owner = folder / "owner.html"
    owner.write_text(OWNER.format(width=width, page=html.escape(probed)))
    done = subprocess.run(
        [
            str(BROWSER), "--headless=new", "--no-sandbox", "--disable-gpu", "--dump-dom",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=30000",
            # In one process with its owner, or virtual time would not wait for the frame.
            "--disable-features=IsolateSandboxedIframes,SitePerProcess", "--window-size=1600,1000",
            owner.as_uri(),
        ],
        capture_output=True, text=True, timeout=PATIENCE, check=True,
    )  # fmt: skip
    found = re.search(r'<pre id="found">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stderr
    return dict(json.loads(html.unescape(found[1])))


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="there is no chromium; apt-get install chromium")
@pytest.mark.parametrize("width", [390, 1440])
def test_in_a_browser(width: int, tmp_path: Path) -> None:
    evil = make_run("evil", name=EVIL, forget=EVIL, tags={"mu.upstream": EVIL})
    several = [
        make_run(f"w{n}", sparse=True, forget="class:1", original={"prune_rate": n / 10})
        for n in range(1, 9)
    ]
    odd = make_run("odd", "ga", training=1, seed=1, without=("UA",))  # it has no gap
    # A long name without a place to break, and a table far wider than any screen.
    page = page_of([*a_study(), odd, evil, *several], title="A" * 200, notes=[EVIL + "x" * 300])
    found = looked_at(page, width, tmp_path)
    assert found["troubles"] == []
    assert found["width"] == width
    assert found["wide"] <= 0
    assert found["overflowing"] == []
    assert found["up"] == ["ascending", ["retrain", "l1_sparse", "ft", "ga"]]
    assert found["down"] == ["descending", ["retrain", "ft", "l1_sparse", "ga"]]
    assert found["told"][0]
    assert METRICS["UA"].definition in found["told"][1]
    assert (found["opened"], found["inside"]) == (1, True)
    assert found["near"] < 10
    assert (found["hacked"], found["scripts"]) == (0, 4)  # the page's three and the probe
    assert found["drawn"] > found["fewer"][1] > 0
    assert found["fewer"][0] == 3
    assert found["runs"]
    assert all("l1_sparse" in one and "95" in one for one in found["runs"])
    assert re.search(r"run \S+ · seeds", found["said"])
    assert found["hint"]  # that links are blocked there
