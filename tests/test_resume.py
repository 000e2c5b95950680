"""Progress on disk: whole or not at all; and an interrupted training ends as if it had not been."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save
from torch import Tensor, nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.masks import Mask
from mu.originals.train import make_recipe, train_original
from mu.recipes.recipe import Recipe
from mu.runs import Record, Run
from mu.training.progress import (
    Progress,
    file_name,
    progress_files,
    read_newest,
    write_whole,
)
from tests.checkpointers import FolderCheckpointer
from tests.helpers import (
    bits,
    flipped,
    laws,
    mostly_slow,
    prunable,
    random_mask,
    refused,
    same_masks,
)
from tests.training.networks import DROPPING, PLAIN

ABOUT = {"spec": {"seed": 3, "classes": ["a", "b"], "share": 0.1}, "mask_run_id": None}


def progress_of(number: int = 0, epoch: int = 1, seed: int = 0) -> Progress:
    """Small made-up progress."""
    draws = torch.Generator().manual_seed(seed)
    weights = {"a.weight": torch.rand(3, 5, generator=draws), "a.bias": torch.rand(5)}
    kept = Mask({"a.weight": torch.rand(3, 5, generator=draws) < 0.5})
    return Progress(number, epoch, weights, {"a.weight/step": torch.tensor(4.0)}, {}, kept)


def same_tensors(one: Any, other: Any) -> bool:
    """Whether names, types, shapes and bits agree."""
    return one.keys() == other.keys() and all(
        one[name].dtype == other[name].dtype
        and one[name].shape == other[name].shape
        and np.array_equal(bits(one[name]), bits(other[name]))
        for name in one
    )


def same_progress(one: Progress, other: Progress) -> bool:
    groups = ("weights", "optimizer", "rewind")
    plain = ("round", "epoch", "notes", "samples_seen", "seconds")
    return (
        all(same_tensors(getattr(one, name), getattr(other, name)) for name in groups)
        and all(getattr(one, name) == getattr(other, name) for name in plain)
        and same_masks(one.mask, other.mask)
        and repr(one.records) == repr(other.records)  # NaN is equal to itself there
    )


# --- bytes --------------------------------------------------------------------------------

NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.int64, torch.uint8, torch.bool)
SHAPES = st.lists(st.integers(0, 4), max_size=4)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    shape, dtype = draw(SHAPES), draw(st.sampled_from(DTYPES))
    made = torch.rand(shape, generator=torch.Generator().manual_seed(draw(st.integers(0, 9))))
    made = (100 * made).to(dtype) if dtype != torch.bool else made < 0.5
    if len(shape) == 4 and draw(st.booleans()):
        made = made.to(memory_format=torch.channels_last)
    return made


STATES = st.dictionaries(NAMES, tensors(), max_size=3)
RECORDS = st.builds(Record, NAMES, st.floats(), st.none() | st.integers(0, 10**6))
MASKS = st.dictionaries(NAMES, SHAPES.map(lambda shape: torch.rand(shape) < 0.5), max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@laws(100)
@given(
    progress=st.builds(
        Progress,
        round=st.integers(0, 2000),
        epoch=st.integers(0, 10**7),
        weights=STATES,
        optimizer=STATES,
        rewind=STATES,
        mask=MASKS.map(Mask),
        records=st.lists(RECORDS, max_size=4),
        notes=st.lists(st.text(), max_size=2),
        samples_seen=st.integers(0, 10**12),
        seconds=st.floats(0, 1e9),
    ),
    about=st.dictionaries(st.text(), JSON, max_size=3),
)
def test_progress_survives_its_bytes(progress: Progress, about: dict[str, Any]) -> None:
    content = progress.to_bytes(about)
    again, told = Progress.from_bytes(content)
    assert same_progress(progress, again)
    assert told == about
    assert again.to_bytes(told) == content


def test_what_is_written_does_not_change_with_the_network() -> None:
    weight = torch.ones(3)
    content = Progress(0, 1, {"a": weight}, {}, {}, Mask({})).to_bytes({})
    weight.zero_()
    assert torch.equal(Progress.from_bytes(content)[0].weights["a"], torch.ones(3))


@laws(150)
@given(data=st.data())
def test_damaged_bytes_are_refused_in_one_line_or_read(data: st.DataObject) -> None:
    """Whatever the bytes are, the only error is that they are no progress."""
    content = progress_of().to_bytes(ABOUT)
    kind = data.draw(st.sampled_from(["flip", "cut", "any", "header"]))
    if kind == "flip":
        place = data.draw(st.integers(0, len(content) - 1))
        content = flipped(content, place, data.draw(st.integers(1, 255)))
    elif kind == "cut":
        content = content[: data.draw(st.integers(0, len(content) - 1))]
    elif kind == "any":
        content = data.draw(st.binary(max_size=40))
    else:
        header = data.draw(JSON | st.dictionaries(st.sampled_from(["round", "mask"]), JSON))
        content = save({}, metadata={"mu.resume/1": json.dumps(header)})
    try:
        Progress.from_bytes(content)
    except Exception as error:
        with refused("no progress of a training of mu"):
            raise error


def others() -> dict[str, bytes]:
    """Files of other kinds, whole ones."""
    tensor = {"weights:a": torch.ones(2)}
    newer = save(tensor, metadata={"mu.resume/2": json.dumps({"round": 0})})
    group = save({"colours:a": torch.ones(2)}, metadata=_metadata(progress_of()))
    return {
        "a mask": Mask({"a": torch.ones(2).bool()}).to_bytes(),
        "plain tensors": save(tensor),
        "tensors with a note": save(tensor, metadata={"format": "pt"}),
        "a later format": newer,
        "an unknown group": group,
        "a mask without its bits": save(tensor, metadata=_metadata(progress_of())),
        "text": b"{}",
        "nothing": b"",
        "a long header": (2**40).to_bytes(8, "little") + b"{}",
        "no object": (2).to_bytes(8, "little") + b"[]",
    }


def _metadata(progress: Progress) -> dict[str, str]:
    content = progress.to_bytes(ABOUT)
    size = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + size])["__metadata__"]
    return found


@pytest.mark.parametrize("kind", sorted(others()))
def test_a_file_of_another_kind_is_refused(kind: str, tmp_path: Path) -> None:
    content = others()[kind]
    with refused("no progress of a training of mu"):
        Progress.from_bytes(content)
    name = file_name(progress_of(), content)  # even under the name that fits it
    (tmp_path / name).write_bytes(content)
    with refused("no progress of a training of mu"):
        FolderCheckpointer(tmp_path, ABOUT).last()


# --- folders ------------------------------------------------------------------------------


def save_some(folder: Path, count: int) -> list[Progress]:
    checkpointer = FolderCheckpointer(folder, ABOUT)
    made = [progress_of(epoch=epoch, seed=epoch) for epoch in range(1, count + 1)]
    for one in made:
        checkpointer.save(one)
    return made


def newest(folder: Path) -> Progress:
    found = FolderCheckpointer(folder, ABOUT).last()
    assert found is not None
    return found


def test_nothing_was_kept_yet(tmp_path: Path) -> None:
    assert FolderCheckpointer(tmp_path / "none", ABOUT).last() is None
    assert not (tmp_path / "none").exists()
    assert FolderCheckpointer(tmp_path, ABOUT).last() is None
    with refused("no epoch of it was finished", "start it anew"):
        read_newest(tmp_path / "none")


@laws(20)
@given(places=st.lists(st.tuples(st.integers(0, 12), st.integers(1, 300)), min_size=1, max_size=6))
def test_the_last_of_all_is_found_and_two_are_kept(
    tmp_path: Path, places: list[tuple[int, int]]
) -> None:
    """Later rounds come after earlier ones, whatever their epochs."""
    folder = tmp_path / hashlib.sha256(repr(places).encode()).hexdigest()[:8]
    checkpointer = FolderCheckpointer(folder, ABOUT)
    for number, epoch in sorted(set(places)):
        saved = progress_of(number, epoch, seed=number)
        checkpointer.save(saved)
        found = checkpointer.last()
        assert found is not None
        assert same_progress(found, saved)
    assert len(list(folder.iterdir())) == min(len(set(places)), 2)


def test_a_name_tells_round_epoch_and_sha256(tmp_path: Path) -> None:
    FolderCheckpointer(tmp_path, ABOUT).save(progress_of(2, 17))
    (only,) = tmp_path.iterdir()
    digest = hashlib.sha256(only.read_bytes()).hexdigest()
    assert only.name == f"round-002-epoch-000017-{digest[:16]}.safetensors"


@laws(40)
@given(data=st.data())
def test_the_newest_is_damaged_so_the_one_before_is_taken(
    tmp_path: Path, data: st.DataObject
) -> None:
    folder = tmp_path / "folder"
    made = save_some(folder, 3)
    last = progress_files(folder)[-1]
    content = last.read_bytes()
    if data.draw(st.booleans()):
        last.write_bytes(content[: data.draw(st.integers(0, len(content) - 1))])
    else:
        place = data.draw(st.integers(0, len(content) - 1))
        last.write_bytes(flipped(content, place, data.draw(st.integers(1, 255))))
    assert same_progress(newest(folder), made[1])
    # Going on from there, the epoch is kept again, beside the damaged file.
    again = progress_of(epoch=3, seed=99)
    FolderCheckpointer(folder, ABOUT).save(again)
    assert same_progress(newest(folder), again)
    for one in folder.iterdir():
        one.unlink()


def test_all_are_damaged(tmp_path: Path) -> None:
    save_some(tmp_path, 3)
    for one in tmp_path.iterdir():
        one.write_bytes(one.read_bytes()[:-1])
    names = [one.name for one in progress_files(tmp_path)]
    assert len(names) == 2
    with refused(*names, "damaged", "start the training anew"):
        FolderCheckpointer(tmp_path, ABOUT).last()


def test_a_renamed_file_is_not_what_its_name_says(tmp_path: Path) -> None:
    made = save_some(tmp_path, 2)
    older, newer = progress_files(tmp_path)
    content = older.read_bytes()
    older.rename(newer)
    with refused("damaged"):
        read_newest(tmp_path)
    newer.rename(tmp_path / "round-000-epoch-000009-0123456789abcdef.safetensors")
    with refused("damaged"):
        read_newest(tmp_path)
    (tmp_path / file_name(made[0], content)).write_bytes(content)
    assert same_progress(newest(tmp_path), made[0])


@pytest.mark.parametrize(
    "name", ["progress.safetensors", "round-1-epoch-1-0123456789abcdef.safetensors", "x.txt"]
)
def test_files_of_other_names_are_neither_read_nor_removed(tmp_path: Path, name: str) -> None:
    """The folder may be one that holds more than progress."""
    (tmp_path / name).write_bytes(progress_of().to_bytes(ABOUT))
    (tmp_path / "folder").mkdir()
    assert FolderCheckpointer(tmp_path, ABOUT).last() is None
    made = save_some(tmp_path, 3)
    assert same_progress(newest(tmp_path), made[-1])
    assert (tmp_path / name).exists()
    assert len(list(tmp_path.iterdir())) == 4


def test_half_written_files_are_ignored_and_removed(tmp_path: Path) -> None:
    made = save_some(tmp_path, 1)
    content = progress_of(epoch=2).to_bytes(ABOUT)
    waiting = tmp_path / f".{file_name(progress_of(epoch=2), content)}.12345"
    waiting.write_bytes(content[:100])
    assert same_progress(newest(tmp_path), made[0])
    FolderCheckpointer(tmp_path, ABOUT).save(progress_of(epoch=2))
    assert not waiting.exists()
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_write_that_fails_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    made = save_some(tmp_path, 2)

    def fail(*_: object) -> None:
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(os if step == "fsync" else Path, step, fail)
        with pytest.raises(OSError, match="no space left"):
            FolderCheckpointer(tmp_path, ABOUT).save(progress_of(epoch=3))
    assert len(progress_files(tmp_path)) == 2
    assert same_progress(newest(tmp_path), made[1])
    FolderCheckpointer(tmp_path, ABOUT).save(progress_of(epoch=3))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_write_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, seen = tmp_path / "file", []
    sync = os.fsync

    def look(file: int) -> None:
        (waiting,) = tmp_path.iterdir()
        seen.append((path.exists(), waiting.read_bytes()))
        sync(file)

    monkeypatch.setattr(os, "fsync", look)
    write_whole(path, b"content")
    assert seen == [(False, b"content")]
    assert path.read_bytes() == b"content"


@laws(30)
@given(change=st.sampled_from(["seed", "classes", "share", "extra", "mask"]))
def test_progress_of_something_else_is_refused(tmp_path: Path, change: str) -> None:
    save_some(tmp_path, 1)
    other = json.loads(json.dumps(ABOUT))
    if change == "mask":
        other["mask_run_id"] = "0123"
    else:
        other["spec"][change] = 4
    with refused(repr(str(tmp_path)), "another training", "its own settings"):
        FolderCheckpointer(tmp_path, other).last()


def test_tuples_and_lists_mean_the_same(tmp_path: Path) -> None:
    """JSON has no tuples; what it is about is compared as JSON has it."""
    FolderCheckpointer(tmp_path, {"classes": ("a", "b")}).save(progress_of())
    assert FolderCheckpointer(tmp_path, {"classes": ("a", "b")}).last() is not None
    assert FolderCheckpointer(tmp_path, {"classes": ["a", "b"]}).last() is not None


# --- interrupted trainings ----------------------------------------------------------------

DATA = load_data("digits")
ROUNDS, EPOCHS, REWIND_EPOCH = 3, 3, 1
SAVES = EPOCHS + ROUNDS * (EPOCHS - REWIND_EPOCH)


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


def recipe(**settings: Any) -> Recipe:
    defaults = {
        "arch": PLAIN, "pruner": "imp", "rate": 0.3, "rounds": ROUNDS, "epochs": EPOCHS,
        "rewind_epoch": REWIND_EPOCH, "train_size": 100, "batch_size": 40, "augment": "crop_flip",
    }  # fmt: skip
    return make_recipe(DATA, **{**defaults, **settings})


class Original:
    """One original, made in as many processes as it takes.

    ``fail`` is called before and after progress is kept, with ``save`` or ``kept``, the round and
    the epoch; and with ``round``, its number and None when a round is over.
    """

    def __init__(self, one: Recipe, folder: Path | None, mask: Mask | None = None) -> None:
        self.recipe, self.folder, self.mask = one, folder, mask
        self.about = Spec(DataSpec.of(DATA), one).as_dict()

    def make(self, fail: Callable[[str, int, int | None], None] | None = None) -> Outcome:
        run = Run(device="cpu")
        tell = fail or (lambda *_: None)
        checkpointer = None if self.folder is None else Telling(self.folder, self.about, tell)

        def after_round(number: int, model: nn.Module, run: Run) -> None:
            run.log("norm", sum(float(one.detach().norm()) for one in model.parameters()), number)
            tell("round", number, None)

        made = train_original(
            DATA,
            self.recipe,
            run,
            mask=self.mask,
            checkpointer=checkpointer,
            after_round=after_round,
        )
        return Outcome(made, run)

    def interrupted(self, fail: Callable[[str, int, int | None], None]) -> bool:
        """Whether it was."""
        try:
            self.make(fail)
        except Interrupted:
            return True
        return False


class Telling(FolderCheckpointer):
    """Says what it does, and to whom."""

    def __init__(
        self, folder: Path, about: Any, tell: Callable[[str, int, int | None], None]
    ) -> None:
        super().__init__(folder, about)
        self.tell = tell

    def save(self, progress: Progress) -> None:
        self.tell("save", progress.round, progress.epoch)
        super().save(progress)
        self.tell("kept", progress.round, progress.epoch)


class Outcome:
    def __init__(self, made: Checkpoint, run: Run) -> None:
        self.made, self.run = made, run

    def check(self, other: Outcome) -> None:
        """The same weights, statistics, mask, numbers, notes and spec, to the bit."""
        assert same_tensors(self.made.model.state_dict(), other.made.model.state_dict())
        assert same_masks(self.made.mask, other.made.mask)
        assert self.made.spec == other.made.spec
        assert self.run.records == other.run.records
        assert self.run.notes == other.run.notes
        assert self.run.samples_seen == other.run.samples_seen


@pytest.fixture(scope="module")
def whole() -> Outcome:
    """The base case, without any interruption and without a checkpointer."""
    return Original(recipe(), None).make()


def raise_at(*place: Any) -> Callable[[str, int, int | None], None]:
    def fail(*here: Any) -> None:
        if here == place:
            raise Interrupted

    return fail


POINTS = [
    *((0, epoch) for epoch in range(1, EPOCHS + 1)),
    *(
        (number, epoch)
        for number in range(1, ROUNDS + 1)
        for epoch in range(REWIND_EPOCH + 1, EPOCHS + 1)
    ),
]


def test_keeping_progress_changes_nothing(whole: Outcome, tmp_path: Path) -> None:
    told: list[tuple[Any, ...]] = []
    one = Original(recipe(), tmp_path)
    one.make(lambda *here: told.append(here)).check(whole)
    assert [here[1:] for here in told if here[0] == "kept"] == POINTS
    assert len(POINTS) == SAVES
    assert [here[1] for here in told if here[0] == "round"] == [0, 1, 2, 3]


@pytest.mark.parametrize("moment", ["save", "kept"])
@pytest.mark.parametrize(("number", "epoch"), POINTS)
def test_interrupted_at_any_epoch(
    whole: Outcome, tmp_path: Path, moment: str, number: int, epoch: int
) -> None:
    one = Original(recipe(), tmp_path)
    assert one.interrupted(raise_at(moment, number, epoch))
    before = FolderCheckpointer(tmp_path, one.about).last()
    if (moment, number, epoch) == ("save", *POINTS[0]):
        assert before is None
    else:
        place = POINTS.index((number, epoch)) - (moment == "save")
        assert before is not None
        assert (before.round, before.epoch) == POINTS[place]
    told: list[tuple[Any, ...]] = []
    one.make(lambda *here: told.append(here)).check(whole)
    # Nothing is done twice: the epochs kept after the interruption are those that were left.
    left = POINTS[POINTS.index((number, epoch)) + (moment == "kept") :]
    assert [here[1:] for here in told if here[0] == "kept"] == left


VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dropout": {"arch": DROPPING},
    "sam": {"sam_rho": 0.1},
    "adaptive sam, dropout, smoothing": {
        "arch": DROPPING, "sam_rho": 0.5, "sam_adaptive": True, "label_smoothing": 0.1,
    },
    "adam": {"optimizer": "adam", "lr": 1e-3, "schedule": "cosine", "warmup": 1},
    "adamw, dropout": {"arch": DROPPING, "optimizer": "adamw", "lr": 1e-3},
    "without momentum": {"momentum": 0.0},
    "lt": {"rewind": "lt", "rewind_epoch": None},
    "pt": {"rewind": "pt", "rewind_epoch": None},
    "to the last epoch but one": {"rewind_epoch": EPOCHS - 1},
    "dense": {"rate": 0.0},
    "initial": {"when": "initial"},
    "drawn": {"pruner": "random", "when": "trained"},
    "collapsing": {"rate": 0.9},
    "residual": {"arch": "resnet_mini", "rounds": 1},
}  # fmt: skip


@pytest.mark.parametrize("variant", mostly_slow(VARIANTS, "collapsing", "residual"))
def test_interrupted_after_every_single_epoch(tmp_path: Path, variant: str) -> None:
    """Each process finishes one epoch, and the next one goes on."""
    settings = recipe(**VARIANTS[variant])
    expected = Original(settings, None).make()
    one, processes = Original(settings, tmp_path), 1

    def fail(moment: str, *_: object) -> None:
        if moment == "kept":
            raise Interrupted

    while one.interrupted(fail):
        processes += 1
        assert processes < 20
    one.make().check(expected)
    epochs = sum(EPOCHS - stage.start_epoch for stage in settings.stages())
    assert processes == epochs + 1
    if variant == "collapsing":
        assert any("leaves no weight" in note for note in expected.run.notes)


def test_a_training_under_a_given_mask(tmp_path: Path) -> None:
    settings = recipe()
    model = settings.model.build(settings.seed)
    mask = random_mask(model, prunable(model), kept=0.4)
    expected = Original(settings, None, mask).make()
    one = Original(settings, tmp_path, mask)
    for epoch in (1, 2):
        assert one.interrupted(raise_at("kept", 0, epoch))
    one.make().check(expected)
    assert expected.made.mask == mask


def test_the_newest_is_damaged_so_one_epoch_is_done_again(whole: Outcome, tmp_path: Path) -> None:
    one = Original(recipe(), tmp_path)
    assert one.interrupted(raise_at("kept", 2, EPOCHS))
    last = progress_files(tmp_path)[-1]
    last.write_bytes(last.read_bytes()[:-5])
    one.make().check(whole)


def test_what_is_finished_is_only_read_again(whole: Outcome, tmp_path: Path) -> None:
    one = Original(recipe(), tmp_path)
    one.make().check(whole)
    names = {path.name for path in tmp_path.iterdir()}
    one.make(raise_at("save", ROUNDS, EPOCHS)).check(whole)
    assert {path.name for path in tmp_path.iterdir()} == names


def test_seconds_and_samples_add_up(tmp_path: Path) -> None:
    """Only time at work counts: of each process, that since it began."""
    one, spent, kept = Original(recipe(rate=0.0), tmp_path), [], []
    for epoch in (1, 2):
        start = time.perf_counter()
        assert one.interrupted(raise_at("kept", 0, epoch))
        spent.append(time.perf_counter() - start)
        kept.append(read_newest(tmp_path)[0])
        time.sleep(0.2)
    assert [progress.samples_seen for progress in kept] == [100, 200]
    first, second = (progress.seconds for progress in kept)
    assert 0 < first < spent[0]
    assert 0 < second - first < spent[1]
    assert one.make().run.seconds_before == second


def test_other_settings_are_refused(tmp_path: Path) -> None:
    assert Original(recipe(), tmp_path).interrupted(raise_at("kept", 0, 2))
    for change in ({"rate": 0.4}, {"seed": 1}, {"epochs": 4}, {"train_size": 99}):
        with refused("another training", repr(str(tmp_path))):
            Original(recipe(**change), tmp_path).make()
    assert len(progress_files(tmp_path)) == 2


def test_progress_that_does_not_fit_the_network_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user's own network may have changed in the meantime, under the same name."""
    from tests.training import networks

    one = Original(recipe(), tmp_path)
    assert one.interrupted(raise_at("kept", 1, 2))
    changed = partial(networks.Small, dropout=0.1)

    def wider(num_classes: int, in_channels: int) -> nn.Module:
        model = changed(num_classes, in_channels)
        model.head = nn.Linear(12, num_classes, bias=False)
        return model

    monkeypatch.setattr(networks, "plain", wider)
    with refused("does not fit", "Small", "head.bias"):
        one.make()
