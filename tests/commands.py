"""Entry points, and the command ``mu``, run in this process: how they end, and what they say."""

from __future__ import annotations

import re
from importlib import import_module

import pytest

from mu.cli.main import run
from mu.tracking import Store


def call(entry: str, *arguments: str) -> int:
    """Run an entry point, ``import``, or ``mu`` with the arguments; gives its exit status."""
    module = import_module(
        {"mu": "mu.cli.mu", "import": "mu.cli.importing"}.get(entry, f"entrypoints.{entry}")
    )
    build = (lambda _: module.mu) if entry == "mu" else module.build
    with pytest.raises(SystemExit) as ended:
        run(build, arguments)
    assert isinstance(ended.value.code, int)
    return ended.value.code


class Program:
    """Runs command lines and reads what they say."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, line: str | list[str]) -> tuple[int, str, str]:
        """Exit status, output and errors of a command line."""
        self._capsys.readouterr()
        status = call(*(line.split() if isinstance(line, str) else line))
        said = self._capsys.readouterr()
        return status, said.out, said.err

    def refuses(self, line: str | list[str], *texts: str) -> str:
        """The one line with which a command line is refused; it contains ``texts``."""
        status, out, errors = self(line)
        assert (status, out) == (2, "")
        return one_line(errors, *texts)


def one_line(errors: str, *texts: str) -> str:
    # Said when a run is opened.
    errors = re.sub(r"\A((prune|unlearn) run [0-9a-f]{32}\n)+", "", errors)
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    assert errors.endswith("\n")
    for text in texts:
        assert text in errors
    return errors.removeprefix("error: ").rstrip("\n")


def run_count(store: Store) -> int:
    return len(list(store.search("")))


def newest_of(store: Store, entry: str) -> str:
    """The ID of the newest run of an entry."""
    return str(next(store.search(f"tags.`mu.entry` = '{entry}'")).info.run_id)
