"""The store's log of evidence: a line for each erasure, none changed, and none lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from mu import tags
from mu.evidence.log import make_log
from mu.evidence.signing import new_key
from mu.tracking import Store, evidence_log
from mu.tracking.evidence_log import LOG_FILE, append_line, log_lines
from mu.tracking.run_files import RunFiles
from tests.helpers import refused


@pytest.fixture
def erasures(store: Store) -> list[str]:
    return [
        store.client.create_run(store.experiment_id, tags={tags.ENTRY: "erase"}).info.run_id
        for _ in range(3)
    ]


def test_each_run_has_the_log_as_it_was(store: Store, erasures: list[str]) -> None:
    assert log_lines(store) == []
    for place, run_id in enumerate(erasures):
        expected = [str(number) * 64 for number in range(place + 1)]
        assert append_line(store, run_id, expected[-1]) == expected == log_lines(store)
        with RunFiles(store, run_id).fetched(LOG_FILE) as file:
            assert file.read_text().split() == expected
        assert store.run(run_id).data.tags[tags.LOG_PLACE] == str(place)


@pytest.mark.parametrize("change", [b"", b"0\n", b"0\n1\n2\n3\n"])
def test_nothing_is_added_to_a_log_that_was_changed(store, erasures, change) -> None:
    for run_id in erasures[:2]:
        append_line(store, run_id, "a" * 64)
    RunFiles(store, erasures[1]).put(LOG_FILE, change)
    with refused(LOG_FILE, erasures[1], "instead of 2", "put the file back"):
        append_line(store, erasures[2], "b" * 64)
    assert tags.LOG_PLACE not in store.run(erasures[2]).data.tags


def test_a_line_that_was_changed_is_named(store, erasures) -> None:
    lines = [str(number) * 64 for number in range(2)]
    for run_id, line in zip(erasures, lines, strict=False):
        append_line(store, run_id, line)
    first, second, last = erasures
    own = f"evidence/log.json of run {first}"  # the second was interrupted before its bundle
    RunFiles(store, first).put("evidence/log.json", make_log(lines[:1], new_key()))
    assert log_lines(store) == lines
    RunFiles(store, second).put(LOG_FILE, f"{'a' * 64}\n{lines[1]}\n".encode())
    with refused(LOG_FILE, second, f"is not as {own}", f"line 1 is {'a' * 16}...", "put the file"):
        append_line(store, last, "b" * 64)
    content = make_log(lines, new_key()).replace(b"1" * 64, b"2" * 64)
    RunFiles(store, second).put("evidence/log.json", content)
    with refused(f"evidence/log.json of run {second} was changed", "root is not that"):
        append_line(store, last, "b" * 64)
    assert tags.LOG_PLACE not in store.run(last).data.tags


def test_of_several_at_once_each_has_a_place_of_its_own(store, erasures) -> None:
    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(lambda one: append_line(store, one, one * 2), erasures))
    longest = max(found, key=len)
    assert sorted(longest) == sorted(one * 2 for one in erasures)
    assert all(longest[: len(one)] == one for one in found)


def test_who_comes_second_to_a_place_takes_the_next_one(store, erasures, monkeypatch) -> None:
    """As on a server, which nothing locks: another process takes the place in between."""
    first, mine, _ = sorted(erasures)
    holders, raced = evidence_log._holders, []

    def race(of):
        if not raced and tags.LOG_PLACE in of.run(mine).data.tags:
            raced.append(first)
            RunFiles(of, first).put(LOG_FILE, b"first\n")
            of.client.set_tag(first, tags.LOG_PLACE, "0")
        return holders(of)

    monkeypatch.setattr(evidence_log, "_holders", race)
    assert append_line(store, mine, "mine") == ["first", "mine"]
    assert raced == [first]
    assert log_lines(store) == ["first", "mine"]
