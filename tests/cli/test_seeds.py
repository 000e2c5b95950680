"""``mu seeds``: statistics of runs that differ in their seeds, and no others."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy import stats

from mu.cli import seeds
from mu.data.splits import SplitSpec
from mu.tracking import Store, fingerprint_tags, tracked
from tests.commands import call as status
from tests.helpers import refused
from tests.tracking.handovers import hand_over, small_checkpoint

NUMBERS = {"UA": [90.0, 92.5, 91.0], "RA": [99.0, 99.5, 99.2], "TA": [94.0, 93.0, 95.0]}


def unlearned(
    store: Store,
    metrics: Mapping[str, float] | None = None,
    *,
    seed: Any = 0,
    training: int = 3,
    split: int = 1,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, str] | None = None,
    recipe: Mapping[str, Any] | None = None,
    history: tuple[str, ...] = ("pruned", "ft"),
    status: str = "FINISHED",
    leave_out: str = "",
) -> str:
    """A finished unlearn run as the entry point leaves it, without any unlearning."""
    checkpoint = small_checkpoint(training)
    made = replace(checkpoint.spec.recipe, split=SplitSpec(split_seed=split), **(recipe or {}))
    checkpoint.spec = replace(checkpoint.spec, recipe=made, history=history)
    logged = {
        "method": "ft", "lr": 0.1, "epochs": 2, "forget": "class:0", "seed": seed,
        "prune_run_id": f"{training}-{split}", "dataset": "made_up", "arch": "resnet_mini",
        "prune_rate": 0.5, "prune_seed": training, "prune_split_seed": split,
        **(params or {}),
    }  # fmt: skip
    logged.pop(leave_out, None)
    with tracked(store, "unlearn", "small") as recorder:
        recorder.params(logged)
        recorder.metrics({"UA": 90.0} if metrics is None else metrics)
        digests = checkpoint.save(recorder.folder)
        own = {"mu.forget": f"f{split}", "mu.oracle": "same", **(tags or {})}
        recorder.tags({**fingerprint_tags(digests), **own})
    if status != "FINISHED":
        store.client.set_terminated(recorder.run_id, status)
        store.client.update_run(recorder.run_id, status=status)
    return recorder.run_id


def call(*words: str) -> None:
    seeds.command.main(list(words), standalone_mode=False)


def three(store: Store, shift: float = 0.0, **kwargs: Any) -> list[str]:
    """A run for each of three seeds of the unlearning."""
    return [
        unlearned(
            store, {name: values[seed] + shift for name, values in NUMBERS.items()},
            seed=seed, **kwargs,
        )
        for seed in range(3)
    ]  # fmt: skip


def row(text: str, name: str, table: int = 0) -> list[str]:
    """The cells of a metric's row, in the table of that number."""
    rows = [line for line in text.splitlines() if line.startswith(f"│ {name} ")]
    return [cell.strip() for cell in rows[table].strip("│").split("│")]


# --- what is shown ------------------------------------------------------------------------


def test_mean_deviation_and_interval(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    call(*three(store))
    text = capsys.readouterr().out
    assert "varies: unlearning seed (0, 1, 2); fixed: split 1, training 3" in text
    assert "ft class:0: 3 runs" in text
    for name, values in NUMBERS.items():
        low, high = stats.t.interval(0.95, 2, np.mean(values), stats.sem(values))
        assert row(text, name) == [
            name,
            f"{np.mean(values):.2f} ± {np.std(values, ddof=1):.2f}",
            f"[{low:.2f}, {high:.2f}]",
        ]
    assert "│ MIA" not in text  # no run has it


def test_the_bootstrap(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    call(*three(store), "--bootstrap", "--metrics", "TA")
    text = capsys.readouterr().out
    assert "bootstrap" in text
    assert row(text, "TA")[2] == "[93.00, 95.00]"  # 1 mean in 27 is as low, and as high
    assert "│ UA" not in text


def test_small_numbers_keep_their_digits(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [unlearned(store, {"js_forget": 0.0123 + 0.001 * n}, seed=n) for n in range(2)]
    call(*runs, "--metrics", "js_forget")
    assert row(capsys.readouterr().out, "js_forget")[1] == "0.0128 ± 0.0007"


def test_two_methods_pair_by_pair(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    """The other runs come in another order; the seeds match them."""
    ours = three(store)
    apart = [2.0, 3.0, 1.0]
    theirs = [
        unlearned(
            store, {"UA": NUMBERS["UA"][n] - apart[n], "RA": NUMBERS["RA"][n], "TA": 50.0},
            seed=n,
            params={"method": "ga", "lr": "none", "max_accuracy_drop": 1},
            history=("pruned", "ga"),
        )
        for n in (2, 0, 1)
    ]  # fmt: skip
    call(*ours, "--against", *theirs)
    text = capsys.readouterr().out
    assert "against: ga class:0: 3 runs" in text
    assert "ft class:0 less ga class:0: 3 pairs" in text
    half = 4.302653 / math.sqrt(3)
    assert row(text, "UA", 2) == [
        "UA", "+2.00", f"[{2 - half:.2f}, {2 + half:.2f}]", "0.074", "-", "no difference shown",
    ]  # fmt: skip
    assert row(text, "RA", 2) == ["RA", "+0.00", "-", "1.000", "-", "no difference shown"]
    assert row(text, "TA", 2)[-1] == "differs"
    assert "3 metrics are tested" in text
    call(*ours, "--against", *theirs, "--metrics", "TA")
    assert "metrics are tested" not in capsys.readouterr().out


def test_the_same_method_with_other_settings_is_named_by_them(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    call(*three(store), "--against", *three(store, params={"lr": 0.01}, shift=1.0))
    text = capsys.readouterr().out
    assert "ft class:0 (lr=0.1) less ft class:0 (lr=0.01): 3 pairs" in text
    assert row(text, "UA", 2)[1:4] == ["-1.00", "-", "0.250"]


def test_ranks_from_six_pairs_on(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs: list[list[str]] = [[], []]
    for n in range(6):
        runs[0].append(unlearned(store, {"UA": 50.0 + n}, seed=n))
        other = {"method": "ga", "max_accuracy_drop": 1}
        runs[1].append(unlearned(store, {"UA": 40.0 + n / 2}, seed=n, params=other))
    call(*runs[0], "--against", *runs[1])
    assert row(capsys.readouterr().out, "UA", 2)[3:] == ["< 0.001", "0.031", "differs"]


@pytest.mark.parametrize(
    ("triples", "line"),
    [
        ([(1, 3, 0), (1, 4, 0)], "varies: training seed (3, 4); fixed: split 1, unlearning 0"),
        ([(1, 3, 0), (2, 3, 0)], "varies: split seed (1, 2); fixed: training 3, unlearning 0"),
        (
            [(2, 4, 1), (1, 3, 0)],
            "varies: split seed (1, 2), training seed (3, 4), unlearning seed (0, 1)\n",
        ),
    ],
)
def test_which_seeds_vary(
    store: Store,
    capsys: pytest.CaptureFixture[str],
    triples: list[tuple[int, int, int]],
    line: str,
) -> None:
    runs = [unlearned(store, split=s, training=t, seed=n) for s, t, n in triples]
    call(*runs)
    text = capsys.readouterr().out
    assert line in text
    assert "not independent" not in text


# --- cautions -----------------------------------------------------------------------------


def test_runs_that_share_a_seed_are_not_independent(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    call(*(unlearned(store, training=t, seed=n) for t in (3, 4) for n in (0, 1)))
    assert "they are not independent" in capsys.readouterr().out


def test_cautions_of_gap_and_commit(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [unlearned(store, {"UA": 1.0, "gap": 2.0 + n}, seed=n) for n in range(2)]
    call(*runs)
    text = capsys.readouterr().out
    assert "one oracle" in text
    assert "commits" not in text
    store.client.set_tag(runs[0], "mu.commit", "abc")
    store.client.set_tag(runs[0], "mu.oracle", "another")
    call(*runs)
    text = capsys.readouterr().out
    assert "one oracle" not in text
    assert "different commits" in text
    assert "gap: runs of the same original are compared with different oracles" in text
    originals = [
        unlearned(store, {"gap": 2.0 + n}, training=n, tags={"mu.oracle": f"of {n}"})
        for n in range(2)
    ]
    call(*originals)
    assert "oracle" not in capsys.readouterr().out.replace("oracle_", "")


def test_an_interval_beyond_the_scale_is_pointed_out(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [unlearned(store, {"UA": 99.0 + n, "RA": 50.0 + n}, seed=n) for n in range(2)]
    call(*runs)
    text = capsys.readouterr().out
    assert "note: UA: the t interval" in text
    call(*runs, "--bootstrap")
    assert "goes beyond" not in capsys.readouterr().out


def test_a_metric_that_some_runs_lack_is_left_out(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [unlearned(store, {"UA": 1.0, **({"gap": 2.0} if n else {})}, seed=n) for n in range(2)]
    call(*runs)
    text = capsys.readouterr().out
    assert f"gap is left out: run {runs[0]} has none" in text
    assert "│ gap" not in text
    with refused("has no gap", runs[0], "metrics=gap"):
        call(*runs, "--metrics", "UA,gap")
    with refused("known: UA, gap"):
        call(runs[1], runs[0], "--metrics", "Accuracy")
    with refused("names none"):
        call(*runs, "--metrics", " ,")


def test_runs_without_a_common_metric_and_with_one_that_is_no_number(store: Store) -> None:
    with refused("in common", "--metrics"):
        call(*(unlearned(store, {"loss": 1.0}, seed=n) for n in range(2)))
    runs = [unlearned(store, {"UA": 1.0}, seed=5), unlearned(store, {"UA": math.nan}, seed=6)]
    with refused(f"UA of run {runs[1]} is nan"):
        call(*runs)


# --- what is refused ----------------------------------------------------------------------


DIFFERENCES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"params": {"method": "ga", "max_accuracy_drop": 1}}, ("differ in method (ft and ga);",)),
    ({"params": {"lr": 0.2}}, ("differ in lr (0.1 and 0.2);",)),
    ({"params": {"momentum": 0.5}}, ("differ in momentum (not set and 0.5);",)),
    ({"leave_out": "epochs"}, ("differ in epochs (2 and not set);",)),
    ({"params": {"forget": "class:1"}}, ("differ in forget (class:0 and class:1);",)),
    ({"recipe": {"pruning": {"rate": 0.6}}}, ("differ in prune_rate (0.5 and 0.6);",)),
    ({"recipe": {"pruner": "random"}}, ("prune_pruner (omp and random)",)),
    ({"history": ("pruned", "ga", "ft")}, ("differ in history",)),
    ({"recipe": {"given_mask": "0" * 64}}, ("differ in given mask (False and True);",)),
    ({"tags": {"mu.forget": "another"}}, ("forget other samples", "forget=class:0")),
]


def test_runs_that_differ_in_more_than_seeds(store: Store) -> None:
    one = unlearned(store)
    for other, texts in DIFFERENCES:
        two = unlearned(store, seed=1, **other)
        with refused(one, two, *texts):
            call(one, two)


def test_many_differences_are_counted(store: Store) -> None:
    one = unlearned(store)
    two = unlearned(store, seed=1, params=dict.fromkeys("abcdef", 1))
    with refused("a (not set and 1), b (", "d (not set and 1) and 2 more;"):
        call(one, two)


def test_other_data(store: Store) -> None:
    one, two = unlearned(store), None
    checkpoint = small_checkpoint()
    checkpoint.spec = replace(
        checkpoint.spec, data=replace(checkpoint.spec.data, fingerprint="1" * 64)
    )
    params = {"method": "ft", "lr": 0.1, "epochs": 2, "forget": "class:0", "seed": 1}
    two = hand_over(store, checkpoint, entry="unlearn", params=params)
    with refused("differ in", "data (", "1111111111111111"):
        call(one, two)


def test_how_a_run_was_started_does_not_matter(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    """MLflow's launcher logs what was typed, aliases and all that is given for the original."""
    typed = {
        "method": "FT", "lr": "0.10", "seed": "1", "device": "auto", "oracle_run_id": "train",
        "prune_run_id": "auto", "prune_epochs": "2", "data_dir": "/elsewhere", "stem": "auto",
    }  # fmt: skip
    call(unlearned(store), unlearned(store, params=typed, recipe={"profile": "ls"}))
    assert "ft class:0: 2 runs" in capsys.readouterr().out


def test_index_files_are_told_by_what_they_name(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [unlearned(store, seed=n, params={"forget": f"indices:{n}.txt"}) for n in range(2)]
    call(*runs)
    assert "indices of fingerprint f1" in capsys.readouterr().out
    changed = unlearned(
        store, seed=2, params={"forget": "indices:0.txt"}, tags={"mu.forget": "other"}
    )
    with refused("differ in forget"):
        call(runs[0], changed)


def test_runs_of_the_same_seeds(store: Store) -> None:
    runs = [unlearned(store, seed=n) for n in (0, 1, 0)]
    with refused(runs[0], runs[2], "same seeds (split 1, training 3, unlearning 0)"):
        call(*runs)


def test_runs_that_are_no_finished_unlearn_runs(store: Store) -> None:
    good = unlearned(store)
    with refused("(entry prune) has unlearned nothing"):
        call(good, hand_over(store))
    with refused("is FAILED", "FINISHED"):
        call(good, unlearned(store, seed=1, status="FAILED"))
    with refused("no run of the experiment begins with 'nowhere'"):
        call(good, "nowhere")
    with refused("no parameter seed"):
        call(good, unlearned(store, leave_out="seed"))
    with refused("seed 'one'"):
        call(good, unlearned(store, seed="one"))


def test_too_few_runs_and_runs_given_twice(store: Store) -> None:
    one, two = unlearned(store), unlearned(store, seed=1)
    for words in ([], [one]):
        with refused("at least 2 run IDs,", f"{len(words)} is too few"):
            call(*words)
    with refused("at least 2 run IDs --against", "1 is too few"):
        call(one, two, "--against", "other")
    with refused(f"run {one} is given twice"):
        call(one, two, one)
    with refused(f"run {two} is given twice"):
        call(one, two, "--against", two, "other")


def test_groups_that_do_not_match(store: Store) -> None:
    ours = [unlearned(store, seed=n) for n in (0, 1)]
    ga = {"method": "ga", "max_accuracy_drop": 1}
    same, other = (unlearned(store, seed=n, params=ga) for n in (0, 2))
    third = unlearned(store, seed=1, params=ga)
    with refused(ours[1], "unlearning 1", "no match among the runs of --against"):
        call(*ours, "--against", same, other)
    with refused(other, "unlearning 2", "no match among the first runs"):
        call(*ours, "--against", same, third, other)
    forget = [
        unlearned(store, seed=n, params={**ga, "forget": "class:1"}) for n in (0, 1)
    ]  # fmt: skip
    with refused(ours[0], forget[0], "forget (class:0 and class:1)", "must forget the same"):
        call(*ours, "--against", *forget)
    rate = [
        unlearned(store, seed=n, params=ga, recipe={"pruning": {"rate": 0.6}}) for n in (0, 1)
    ]  # fmt: skip
    with refused("prune_rate (0.5 and 0.6)"):
        call(*ours, "--against", *rate)
    tagged = [unlearned(store, seed=n, params=ga, tags={"mu.forget": "x"}) for n in (0, 1)]
    with refused("forget other samples"):
        call(*ours, "--against", *tagged)
    mixed = [unlearned(store, seed=1, params={**ga, "lr": 0.7}), same]
    with refused("differ in lr"):
        call(*ours, "--against", *mixed)


def test_a_mistake_is_one_line_and_status_2(
    store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    one = unlearned(store)
    for words in ([one], [one, "--against"], [one, one], [one, "x", "--metric", "UA"]):
        assert status("mu", "seeds", *words) == 2
        shown = capsys.readouterr()
        assert shown.out == ""
        assert shown.err.startswith("error: ")
        assert shown.err.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("a b --against c d", "a b --against c --against d"),
        ("--against c d --metrics UA a b", "--against c --against d --metrics UA a b"),
        ("a --against=c d --bootstrap", "a --against c --against d --bootstrap"),
        ("a --against c --against d", "a --against c --against d"),
        ("a --against", "a --against"),
        ("a b", "a b"),
    ],
)
def test_against_takes_all_words_up_to_the_next_option(words: str, expected: str) -> None:
    assert seeds.spread(words.split(), "--against") == expected.split()
