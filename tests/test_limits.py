"""Numbers beyond any sense, long and strange texts, and too many of anything: one line each."""

from __future__ import annotations

import pytest

from entrypoints import backdoor, dataset, evaluate, lira, prune, sweep, transfer, unlearn
from mu.cli.options import _SettingType
from mu.data import load_data
from mu.data.forget_request import ForgetRequest
from mu.data.lists import read_indices
from mu.data.splits import SplitSpec, split
from mu.errors import LONGEST_LINE, LONGEST_WORD, UserError, one_line
from mu.foreign.files import read_weight_file
from mu.readers.paths import checked_path
from mu.tasks.sweep.grid import Grid
from tests.helpers import make_dataset, refused

ENTRIES = [backdoor, dataset, evaluate, lira, prune, sweep, transfer, unlearn]
HUGE = f"1{'0' * 45}"


# --- numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.__name__)
def test_every_number_that_can_be_given_has_a_range(entry):
    command = entry.build([])
    numbers = [
        one
        for one in command.params
        if isinstance(one.type, _SettingType) and one.type.name in ("int", "float")
    ]
    assert numbers or entry is evaluate
    for option in numbers:
        for value in (HUGE, f"-{HUGE}"):
            with refused(f"{option.name}="):
                command.make_context("x", [f"{option.opts[0]}={value}"])


@pytest.mark.parametrize(
    ("entry", "option", "value"),
    [
        *(("prune", "epochs", value) for value in (f"1{'0' * 30}", "0", "-1", "9" * 5000)),
        *(("prune", "lr", value) for value in ("1e308", "1e400", "nan", "inf", "-1")),
        ("prune", "workers", "1000000"),
        ("prune", "batch_size", "1000000000000"),
        ("prune", "image_size", "1000000"),
        ("unlearn", "prune_epochs", f"1{'0' * 30}"),
        ("transfer", "transfer_lr", "1e308"),
        ("dataset", "map_size", str(2**70)),
        ("backdoor", "sparsities", ",".join(map(str, range(1000)))),
    ],
)
def test_a_number_beyond_any_sense_is_refused_as_it_is_typed(entry, option, value, program):
    said = program.refuses([entry, f"--{option}={value}"])

    assert said.startswith(f"{option}=")
    assert len(said) < 400


@pytest.mark.parametrize("size", [0, -1, 1_000_000, 10**30])
def test_a_size_of_images_has_a_bound_in_python_too(size, tmp_path):
    with refused("image_size=", "4096"):
        load_data("imagefolder", tmp_path, size)


def test_too_little_memory_is_told_in_a_line(program, monkeypatch):
    def exhausted(_: object) -> None:
        raise MemoryError("Unable to allocate 7.28 TiB")

    monkeypatch.setattr("mu.tasks.prune.prune", exhausted)
    program.refuses("prune", "7.28 TiB")


# --- texts and paths ----------------------------------------------------------------------

PATHS = {
    "a long name": "/tmp/" + "a" * 256,
    "a long path": "/tmp" + "/a" * 3000,
    "of nobody": "~nobody_such/x",
    "no text": "/tmp/\udcff",
}


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("prune", ["--data_dir="]),
        ("unlearn", ["--data_dir="]),
        ("evaluate", ["--forget=class:0", "--checkpoint="]),
        ("sweep", ["--grid="]),
        ("dataset", ["--verify="]),
        ("dataset", ["--out=x", "--source="]),
        ("transfer", ["--target=imagefolder", "--target_dir="]),
    ],
    ids=lambda one: one[-1] if isinstance(one, list) else one,
)
def test_a_path_that_no_system_has_is_refused(entry, words, path, program):
    said = program.refuses([entry, *words[:-1], words[-1] + path])

    assert said.startswith(f"{words[-1].strip('-=')}=")
    assert len(said) < 500


@pytest.mark.parametrize(
    "path", ["a\0b", "\ud800", *(PATHS[one] for one in PATHS if one != "no text")], ids=ascii
)
def test_such_a_path_is_refused_from_python_too(path):
    for read in (
        lambda: load_data("imagefolder", path),
        lambda: read_weight_file(path),
        lambda: checked_path("out", path),
        lambda: read_indices(ForgetRequest.parse(f"indices:{path}").file),
    ):
        with pytest.raises(UserError):
            read()


def test_paths_that_exist_pass(tmp_path):
    assert checked_path("out", tmp_path / ("é" * 127)) == tmp_path / ("é" * 127)
    assert checked_path("out", "~").is_absolute()


# --- lines --------------------------------------------------------------------------------


def test_a_line_is_cut_and_keeps_its_end(program):
    line = f"prune --dataset={'x' * 100_000}"
    assert len(program.refuses(line, "package.module:function is a name too")) < 500

    error = UserError(f"forget={' '.join(['class'] * 10_000)}: give fewer")
    assert len(str(error)) <= LONGEST_LINE
    assert str(error).startswith("forget=class class")
    assert str(error).endswith("class: give fewer")


@pytest.mark.parametrize("text", ["short", "a, b, c: is not x; give y", "x" * LONGEST_WORD, "é ü"])
def test_what_is_short_stays_as_it_is(text):
    assert one_line(text) == text


def test_what_a_terminal_would_obey_is_written_out():
    assert one_line("a\x1b[31m\u202e\ud800b") == r"a\x1b[31m\u202e\ud800b"
    assert one_line("two\nlines\tand more") == "two lines and more"


# --- many ---------------------------------------------------------------------------------


def test_classes_are_counted_before_they_are_looked_up():
    data = make_dataset()
    parts = split(data.published_labels.numpy(), SplitSpec())

    with refused("more classes than"):
        ForgetRequest.parse("class:0" + ",0" * 50_000).select(data, parts, 0)
    with refused("there is no class"):
        ForgetRequest.parse("class:" + "9" * 5000).select(data, parts, 0)


@pytest.mark.parametrize(
    "grid",
    [
        {"originals": dict.fromkeys(("epochs", "batch_size", "warmup"), [1] * 50)},
        {"originals": {"epochs": [1] * 200}, "seed": [1] * 200},
        {"originals": [{"seed": [1] * 200}] * 60},
        {"methods": [{"ft": {"lr": [1] * 200}}] * 60},
        {"originals": [dict.fromkeys("abcdefgh", [1] * 3)] * 100_000},
    ],
    ids=["one block", "axes", "blocks", "methods", "many blocks"],
)
def test_the_combinations_of_a_grid_are_counted_before_they_are_made(grid):
    with refused("combinations", "10,000"):
        Grid.of(grid)


@pytest.mark.parametrize("value", [".inf", "-.inf", ".nan", "1e400", HUGE])
def test_numbers_of_a_grid_are_those_of_a_command_line(value, tmp_path, program):
    (tmp_path / "grid.yaml").write_text(f"originals: {{epochs: 1, lr: {value}}}\n")

    program.refuses(f"sweep --grid={tmp_path / 'grid.yaml'} --dry_run=true", "lr=")
