"""Names of runs: short, and different where runs are."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.checkpoints import Spec
from mu.report.run_names import MOST, brief_forget, name_original, name_unlearning, run_name
from tests.helpers import laws, make_checkpoint, make_dataset

SPEC = make_checkpoint(make_dataset()).spec


def with_seed(seed: int) -> Spec:
    return replace(SPEC, recipe=replace(SPEC.recipe, seed=seed))


@laws(100)
@given(st.lists(st.text("abcdefgh: ", min_size=0, max_size=60), max_size=6))
def test_names_are_short_and_hold_each_part(parts: list[str]) -> None:
    made = run_name(*parts)
    assert len(made) <= MOST
    if len(" · ".join(part for part in parts if part)) <= MOST:
        assert made == " · ".join(part for part in parts if part)


def test_the_longest_part_is_cut() -> None:
    made = run_name("l1_sparse", "a-very-long-name-of-a-request.csv:12", "95 %", "s1")
    assert made == "l1_sparse · a-very… · 95 % · s1"
    whole = "l1_sparse", "class:0", "95 %", "s1"
    assert run_name(*whole) == " · ".join(whole)  # the usual name fits


def test_an_unlearning_is_told_by_method_forget_set_sparsity_and_seeds() -> None:
    def name(original: int, seed: int, sparsity: float, preset: str | None = None) -> str:
        spec = with_seed(original)
        return name_unlearning("ft", "class:0", spec, seed, preset=preset, sparsity=sparsity)

    assert name(1, 1, 95) == "ft · class:0 · 95 % · s1"
    assert name(1, 1, 0) == "ft · class:0 · dense · s1"
    assert name(2, 1, 0) == "ft · class:0 · dense · s2/1"
    assert name(1, 1, 95, "paper") == "ft/paper · class:0 · 95 % · s1"


@pytest.mark.parametrize(
    ("text", "count", "brief"),
    [
        ("class:0,3", 300, "class:0,3"),
        ("indices:/home/me/request-17.csv", 12, "request-17.csv:12"),
        ("files:lists/them.txt", None, "them.txt"),
        ("suspects:0123456789abcdef0123456789abcdef:30", 30, "suspects:01234567:30"),
        ("vulnerable:30:0123456789abcdef0123456789abcdef", 30, "vulnerable:30:01234567"),
    ],
)
def test_a_list_is_told_by_its_file_and_length(text: str, count: int | None, brief: str) -> None:
    assert brief_forget(text, count) == brief


def test_an_original_is_told_by_network_sparsity_and_seed() -> None:
    assert name_original(with_seed(3), 95.0).endswith("· 95 % · s3")
    assert name_original(with_seed(3), 0.0).endswith("· dense · s3")
