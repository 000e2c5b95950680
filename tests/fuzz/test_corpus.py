"""Files that once ended mu with a traceback, took its memory, or had it execute what they name."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from benchmarks.fuzz.__main__ import outcome
from benchmarks.fuzz.targets import Readers, Target
from benchmarks.fuzz.whole import Whole
from mu.errors import UserError

CORPUS = sorted(path for path in (Path(__file__).parent / "corpus").glob("*/*"))


@pytest.fixture(scope="module")
def readers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    folder = tmp_path_factory.mktemp("fuzz")
    sys.path.insert(0, str(folder))
    yield Readers(Whole(folder)).targets()
    sys.path.remove(str(folder))


@pytest.mark.parametrize("path", CORPUS, ids=lambda path: f"{path.parent.name}-{path.name}")
def test_a_file_that_once_failed_is_refused_in_a_line(path: Path, readers) -> None:
    found, why = outcome(readers[path.parent.name], path.read_bytes())

    assert found == "refused", why


def test_whole_files_are_accepted(readers) -> None:
    found = {name: outcome(target, target.seeds[0]) for name, target in readers.items()}

    assert {name: one for name, one in found.items() if one[0] != "accepted"} == {}


@pytest.mark.parametrize("name", ["npy", "grid", "config", "spec", "mask", "command"])
def test_damaged_files_are_refused_or_accepted(name: str, readers) -> None:
    for number in range(15):
        draws = Random(f"test {number}")
        content = readers[name].change(draws.choice(readers[name].seeds), draws)
        found, why = outcome(readers[name], content)
        assert found in ("refused", "accepted"), (number, why)


def test_what_fails_is_seen(readers) -> None:
    """The judge itself: a traceback, a line break in an error, and an import are told apart."""

    def ends(error: Exception | None = None, module: str = "") -> str:
        def read(_: bytes) -> None:
            if module:
                __import__(module)
            if error is not None:
                raise error

        return outcome(Target((), read), b"")[0]

    long = UserError("")
    long.args = ("two\nlines",)
    assert [ends(), ends(UserError("no")), ends(KeyError("no")), ends(long)] == [
        *("accepted", "refused", "traceback", "traceback")
    ]
    assert ends(module="mu_fuzz_sentinel") == "executed"
