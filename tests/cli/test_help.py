"""The help of a command: options below the headings of their groups."""

from __future__ import annotations

from dataclasses import dataclass

import click
import pytest
from click.testing import CliRunner

from entrypoints import unlearn
from mu.cli.main import run
from mu.cli.options import Group, command
from mu.hyperparameters import Hyperparameters, setting


@dataclass(frozen=True)
class Tea(Hyperparameters):
    """How tea is made. Nothing of this is in a heading."""

    minutes: int = setting(3, help="how long it draws", low=1)


@dataclass(frozen=True)
class Milk(Hyperparameters):
    """What goes in."""

    milk: bool = setting(False, help="whether there is any")


def sections(of: click.Command) -> dict[str, list[str]]:
    """The options below each heading, in their order."""
    found: dict[str, list[str]] = {}
    for line in CliRunner().invoke(of, ["--help"]).output.splitlines():
        if line.endswith(":") and not line.startswith(" "):
            found[line[:-1]] = below = []
        elif line.startswith("  -"):
            below.append(line.split()[0])
    return found


def test_a_heading_is_given_or_the_first_sentence_of_the_settings() -> None:
    groups = [Group(Tea), Group(Milk, heading="Extras"), Group(Tea, "second_", heading="Extras")]
    assert sections(command("tea", "Make tea.", groups, print)) == {
        "How tea is made": ["--minutes"],
        "Extras": ["--milk", "--second-minutes"],
        "Help": ["-h,"],
    }


def test_every_option_stands_below_one_heading() -> None:
    program = unlearn.build(["--method", "ft"])
    found = sections(program)
    assert list(found)[:3] == ["Unlearning", "Method ft", "Original, where one is made"]
    shown = [option for below in found.values() for option in below]
    assert sorted(shown) == sorted(
        [*(one.opts[0] for one in program.params if not getattr(one, "hidden", False)), "-h,"]
    )


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--metod", "ft"], "did you mean method?"),
        (["--zzz", "1"], "'zzz'; --help lists what there is"),
        (["--solver", "cg"], "'solver' is an option of method=iu, not of unlearn"),
        (["--solvr", "cg"], "did you mean solver of method=iu?"),
        (["--prune_iterations", "9"], "is an option of prune_pruner=synflow, not of unlearn"),
    ],
)
def test_an_unknown_option_is_answered_with_the_nearest_and_whose_it_is(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(unlearn.build, words)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
