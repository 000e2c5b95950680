"""Tables, prose and plots: the numbers in them are those that were measured."""

import pytest
import torch
from PIL import Image

from mu.checkpoints import DataSpec, Spec
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.evaluation.gap import gaps
from mu.evaluation.outputs import Outputs, SplitOutputs
from mu.masks import Mask
from mu.report import console, plots, prose
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.helpers import make_dataset, make_recipe

BEFORE = {"UA": 0.0, "RA": 100.0, "TA": 90.0, "MIA": 1.0}
AFTER = {"UA": 95.25, "RA": 99.5, "TA": 89.0, "MIA": 98.0}
ORACLE = {"UA": 100.0, "RA": 100.0, "TA": 91.0, "MIA": 100.0, "RTE": 12.0}


@pytest.fixture
def metrics():
    before = {f"{name}_before": value for name, value in BEFORE.items()}
    return {**AFTER, **before, "RTE": 1.5, **gaps(AFTER, ORACLE)}


def test_the_table_shows_every_number_and_a_dash_for_what_is_not_known(metrics, capsys):
    rows = {"original": BEFORE, "ft": metrics, "oracle": ORACLE}
    console.print_results("ft on digits", rows)
    lines = capsys.readouterr().out.splitlines()
    cells = {line.split("│")[1].strip(): line.split("│")[2:-1] for line in lines if "│" in line}
    assert [cell.strip() for cell in cells["ft"]] == [
        "95.25", "99.50", "89.00", "98.00", "2.31", "1.50",
    ]  # fmt: skip
    assert [cell.strip() for cell in cells["original"]][-2:] == ["-", "-"]


def cells_of(text, between):
    """The cells of the lines of a table that have such a letter between them."""
    rows = [line.split(between)[1:-1] for line in text.splitlines() if between in line]
    return [[cell.strip() for cell in row] for row in rows]


def test_a_backdoor_has_columns_where_one_was_planted(metrics, capsys):
    rows = {"original": {**BEFORE, "ASR": 99.126}, "ft": {**metrics, "robust_acc": 85.0}}
    console.print_results("ft on digits", rows)
    found = {row[0]: row[1:] for row in cells_of(capsys.readouterr().out, "│")}
    assert found["original"][4:] == ["99.13", "-", "-", "-"]
    assert found["ft"][4:] == ["-", "85.00", "2.31", "1.50"]
    console.print_results("ft on digits", {"original": BEFORE, "ft": metrics})
    assert "ASR" not in capsys.readouterr().out


ROWS = [{"a": 0.0, "b": 2.346}, {"b": 100.0, "not shown": 7.0}, {}]
CELLS = [["0.00", "-", "2.35"], ["-", "-", "100.00"], ["-", "-", "-"]]


@pytest.mark.parametrize("labels", [(), ("one", "two", "three")])
def test_a_printed_table_has_a_dash_where_a_row_lacks_a_number(labels, capsys):
    console.print_table(
        "Title [not markup]",
        ["a", "c", "b"],
        dict(zip(labels, ROWS, strict=True)) if labels else ROWS,
    )
    printed = capsys.readouterr().out
    expected = [[label, *cells] for label, cells in zip(labels, CELLS, strict=False)]
    assert printed.startswith("Title [not markup]\n")
    assert cells_of(printed, "│") == (expected if labels else CELLS)
    (names,) = cells_of(printed, "┃")
    assert names == ["", "a", "c", "b"][not labels :]


def test_a_table_without_rows_has_its_names(capsys):
    console.print_table("Nothing", ["a", "b"], [])
    assert cells_of(capsys.readouterr().out, "┃") == [["a", "b"]]
    assert prose.table_of(["a", "b"], []) == "| a | b |\n|---:|---:|\n"


def test_a_markdown_table_has_a_dash_where_a_row_lacks_a_number():
    text = prose.table_of(["a", "c", "b"], ROWS)
    names, line, *cells = cells_of(text, "|")
    assert names == ["a", "c", "b"]
    assert line == ["---:"] * 3
    assert cells == CELLS
    assert text.endswith("|\n")


def test_commands_and_ids_are_printed_in_one_line_each(capsys):
    long = "x" * 300
    console.print_lines({"run": "abc", "a longer name": long})
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert printed[1].endswith(long)


def test_the_description_of_an_unlearning_gives_numbers_and_lineage(metrics):
    data = load_data("digits")
    split = ForgetSplit(*_cut(data))
    text = prose.describe_unlearn(
        "ft", "class:3", split, "a dense one", metrics, {"original": "run1", "oracle": "run2"}
    )
    for words in ("**ft**", "`class:3`", "95.25", "2.31 points", "`run1`", "`run2`", "| gap |"):
        assert words in text


def test_without_an_oracle_the_description_says_how_to_get_one(metrics):
    alone = {name: value for name, value in metrics.items() if not name.startswith("gap")}
    split = ForgetSplit(*_cut(load_data("digits")))
    text = prose.describe_unlearn("ft", "class:3", split, "one", alone, {"original": "run1"})
    assert "oracle_run_id=train" in text


def test_a_backdoor_is_told_in_the_description(metrics):
    planted = {"ASR": 1.25, "ASR_before": 98.5, "robust_acc": 87.5, "robust_acc_before": 2.0}
    split = ForgetSplit(*_cut(load_data("digits")))
    for known in (metrics, {k: v for k, v in metrics.items() if not k.startswith("gap")}):
        text = prose.describe_unlearn(
            "ft", "poison", split, "one", {**known, **planted}, {"original": "run1"}
        )
        found = {row[0]: row[1:] for row in cells_of(text, "|")}
        assert found[""][-2:] == ["ASR", "robust_acc"]
        assert found["original"][-2:] == ["98.50", "2.00"]
        assert found["unlearned"][-2:] == ["1.25", "87.50"]
        assert {len(row) for row in found.values()} == {6}
        assert "- ASR: attack success rate" in text
        assert "- robust_acc: " in text
    text = prose.describe_unlearn("ft", "class:3", split, "one", metrics, {"original": "run1"})
    assert "ASR" not in text


def test_a_poisoned_original_is_told_from_a_clean_one():
    clean = make_dataset()
    for dataset, words in (
        (clean, "a resnet_mini on made_up, dense"),
        (
            make_poison(trigger="wanet").apply(clean),
            "a resnet_mini on made_up, dense, poisoned (warping)",
        ),
    ):
        spec = Spec(DataSpec.of(dataset), make_recipe(dataset))
        assert prose.describe_model(spec, 0.0) == words


def _cut(data):
    import numpy as np

    return data, np.arange(0, 10), np.arange(10, 100), np.arange(100, 120)


def outputs(count):
    draws = torch.Generator().manual_seed(count)
    logits = torch.randn(count, 4, generator=draws).double()
    return Outputs(logits, torch.randint(0, 4, (count,), generator=draws))


def test_every_plot_is_a_picture(metrics, tmp_path):
    mask = Mask({"a.weight": torch.rand(5, 3) < 0.5, "b.weight": torch.ones(4, 4).bool()})
    run = Run()
    for epoch in range(3):
        run.log_all({"loss": 1 / (epoch + 1), "train_acc": 30.0 * epoch}, epoch)
    parts = SplitOutputs(outputs(10), outputs(30), outputs(20), None)
    plots.plot_layers(mask, tmp_path / "new" / "layers.png")
    plots.plot_history(run, tmp_path / "history.png")
    plots.plot_confidence(parts, parts, tmp_path / "confidence.png")
    plots.plot_metrics({"original": BEFORE, "ft": metrics}, tmp_path / "metrics.png")
    pictures = sorted(tmp_path.rglob("*.png"))
    assert len(pictures) == 4
    for picture in pictures:
        with Image.open(picture) as image:
            assert image.width > 400
