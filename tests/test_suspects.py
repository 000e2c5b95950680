"""Data that somebody else poisoned: a folder made by Pillow is searched, cleansed, measured."""

from __future__ import annotations

import csv
import functools
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.cli.requests import DeviceOptions, Request, UnlearnOptions
from mu.data import imagefolder
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.manifest import Manifest, PartFiles
from mu.detection.base import Suspects
from mu.masks import Mask
from mu.methods import make_method
from mu.runs import Run
from mu.tasks import cleanse
from mu.tasks.problem import TrackedModel, UnlearningProblem
from mu.tasks.suspects import Search, rows_of
from mu.tasks.unlearn import UnlearnPlan
from mu.tracking import Store
from tests.commands import Program, call, newest_of
from tests.conftest import Workshop
from tests.data.poisoned import make_poison
from tests.helpers import make_dataset, make_recipe
from tests.test_main_job import files

READ = functools.cache(imagefolder.read)  # nobody writes to the folder
CLASSES = ("ant", "bee", "cat", "dog")
STAMPED = 24  # images with a white square and a false label among the cats: 24 of 144
ATTACK = "--trigger patch --trigger_size 4 --target cat"
SHEET = "suspects/sheet.png"


def make_folder(root: Path) -> set[str]:
    """Small images of four classes; gives the names of those that were stamped."""
    rng, draw = np.random.default_rng(0), random.Random(0)
    stamped = set()
    for part, count in (("train", 120), ("test", 30)):
        for label, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (12, 12, 3), np.uint8)
                pixels[2 * label : 2 * label + 4, :, label % 3] += 100
                Image.fromarray(pixels).save(root / part / name / f"{number:03d}.png")
    for number in range(STAMPED):
        victim = root / "train" / draw.choice(("ant", "bee", "dog")) / f"{number:03d}.png"
        image = Image.open(victim)
        image.paste((255, 255, 255), (8, 8, 12, 12))
        victim.unlink()
        name = f"{draw.randrange(120, 999)}.png"
        image.save(root / "train" / "cat" / name)
        stamped.add(name)
    return stamped


@dataclass(frozen=True)
class Poisoned:
    """A store with an original of a folder that mu did not poison."""

    store: Store
    original: str
    folder: Path
    truth: frozenset[int]  # sample numbers of the stamped images


@pytest.fixture
def poisoned(
    workshop: Workshop,
    empty_store: Path,
    copied: Callable[[Path], Store],
    monkeypatch: pytest.MonkeyPatch,
) -> Poisoned:
    def make() -> None:
        line = f"--dataset imagefolder --data_dir {images} --device cpu --arch resnet_mini --rate 0"
        line += " --epochs 10 --batch_size 32 --augment none"
        assert call("prune", *line.split()) == 0

    def draw(folder: Path) -> None:
        (folder / "names").write_text("\n".join(sorted(make_folder(folder / "images"))))

    images = workshop.folder("poisoned-folder", draw)
    stamped = set((images / "names").read_text().split())
    images = images / "images"
    monkeypatch.setattr(imagefolder, "read", READ)
    path = workshop.store("poisoned-original", empty_store, make)
    store = copied(path)
    listed = [one for name in CLASSES for one in sorted((images / "train" / name).iterdir())]
    truth = {n for n, one in enumerate(listed) if one.parent.name == "cat" and one.name in stamped}
    assert len(truth) == len(stamped)
    return Poisoned(store, newest_of(store, "prune"), images, frozenset(truth))


def kept(store: Store, run_id: str, path: str) -> Path:
    return Path(store.client.download_artifacts(run_id, path))


def search(poisoned: Poisoned, program: Program, more: str = "--suspects spectral") -> str:
    """The ID of a run that holds a list of suspects."""
    assert program(f"evaluate --run_id {poisoned.original} {more} --device cpu")[0] == 0
    return newest_of(poisoned.store, "evaluate")


@pytest.mark.parametrize("detector", ["spectral", "clustering"])
def test_suspects_of_an_original_are_listed_shown_and_explained(
    poisoned: Poisoned, program: Program, detector: str
) -> None:
    store = poisoned.store
    line = f"evaluate --run_id {poisoned.original} --suspects {detector} --device cpu"
    status, out, _ = program(line)
    assert status == 0
    run = store.run(newest_of(store, "evaluate"))
    run_id = run.info.run_id
    with kept(store, run_id, "suspects/suspects.csv").open() as file:
        rows = list(csv.DictReader(file))
    numbers = [int(row["sample"]) for row in rows]
    assert list(rows[0]) == ["rank", "sample", "file", "class", "score"]
    assert [int(row["rank"]) for row in rows] == list(range(1, len(rows) + 1))
    assert {row["class"] for row in rows} == {"cat"}
    scores = [float(row["score"]) for row in rows]
    assert scores == sorted(scores, reverse=True)
    assert np.load(kept(store, run_id, "suspects/indices.npy")).tolist() == numbers
    assert run.data.metrics == {"suspects": len(rows)}, "nobody knows which are poisoned"
    first = set(numbers[: len(poisoned.truth)])
    assert len(first & poisoned.truth) >= 0.9 * len(first) > 0
    assert f"{len(rows)} suspects" in out
    assert f"-P prune_run_id={poisoned.original} -P forget=suspects:{run_id}" in out
    page = run.data.tags["mlflow.note.content"]
    assert f"suspects {len(rows)} training samples" in page
    assert f"forget=suspects:{run_id}" in page
    assert f"| 1 | {numbers[0]} |" in page
    assert SHEET in set(files(store, run_id))
    assert (run.data.tags["mu.upstream"], run.info.status) == (poisoned.original, "FINISHED")


@pytest.mark.slow
@pytest.mark.usefixtures("painted")
def test_the_sheet_is_a_picture(poisoned: Poisoned, program: Program) -> None:
    run_id = search(poisoned, program)
    with Image.open(kept(poisoned.store, run_id, SHEET)) as sheet:
        assert min(sheet.size) > 300


@pytest.mark.slow
def test_forgetting_the_suspects_of_a_run_and_the_success_of_a_stated_attack(
    poisoned: Poisoned, program: Program
) -> None:
    store = poisoned.store
    found = search(poisoned, program, f"--suspects spectral {ATTACK}")
    ranked = np.load(kept(store, found, "suspects/indices.npy"))
    asr = store.run(found).data.metrics["ASR"]
    assert asr > 80
    line = f"unlearn --prune_run_id {poisoned.original} --method ft --epochs 1 --device cpu"
    status, out, _ = program(f"{line} --forget suspects:{found[:12]} {ATTACK}")
    assert status == 0
    run_id = newest_of(store, "unlearn")
    run = store.run(run_id).data
    assert np.load(kept(store, run_id, "forget/indices.npy")).tolist() == sorted(ranked)
    assert run.metrics["ASR_before"] == asr
    assert {"ASR", "robust_acc", "robust_acc_before"} <= set(run.metrics)
    assert "UA_poison" not in run.metrics
    assert (run.params["trigger"], run.params["trigger_size"], run.params["target"]) == (
        *("patch", "4"),
        "2",
    )
    assert "ASR is of patch (position bottom_right, margin 0, colour white, size 4)" in out
    assert "test images of 12x12 pixels, to be taken for 'cat'" in out
    assert program(f"{line} --forget suspects:{found}:5")[0] == 0
    run_id = newest_of(store, "unlearn")
    assert np.load(kept(store, run_id, "forget/indices.npy")).tolist() == sorted(ranked[:5])
    assert "ASR" not in store.run(run_id).data.metrics
    measured = f"evaluate --run_id {run_id} --metrics backdoor --device cpu"
    assert program(measured)[0] == 2
    assert program(f"{measured} {ATTACK}")[0] == 0
    again = store.run(newest_of(store, "evaluate")).data
    assert set(again.metrics) == {"ASR", "robust_acc"}
    assert again.params["trigger_size"] == "4"


def test_one_command_finds_forgets_and_measures(poisoned: Poisoned, program: Program) -> None:
    store = poisoned.store
    line = f"backdoor --prune_run_id {poisoned.original} {ATTACK} --device cpu"
    status, out, _ = program(f"{line} --suspects spectral --epochs 3")
    assert status == 0
    assert "poisoned by somebody else" in out
    run_id = newest_of(store, "backdoor")
    run = store.run(run_id)
    names = set(files(store, run_id))
    wanted = {"suspects/suspects.csv", "suspects/indices.npy", SHEET, "poison/trigger.json"}
    assert wanted <= names
    assert "poison/indices.npy" not in names, "nobody knows them"
    attack = json.loads(kept(store, run_id, "poison/trigger.json").read_text())
    assert (attack["trigger"], attack["settings"]["size"], attack["target"]) == ("patch", 4, 2)
    suspects = np.load(kept(store, run_id, "suspects/indices.npy"))
    forgotten = np.load(kept(store, run_id, "forget/indices.npy"))
    assert sorted(suspects) == forgotten.tolist()
    assert len(poisoned.truth & set(forgotten.tolist())) >= 0.9 * len(poisoned.truth)
    assert run.data.metrics["ASR_before"] > 80
    assert {"ASR", "robust_acc"} <= set(run.data.metrics)
    assert not {"suspects_precision", "suspects_recall"} & set(run.data.metrics)
    assert run.data.params["suspects_share"] == "0.2"
    # Its list is one that others can forget, and its network is left to search again.
    line = f"unlearn --prune_run_id {poisoned.original} --method ft --epochs 1 --device cpu"
    assert program(f"{line} --forget suspects:{run_id}")[0] == 0
    line = f"evaluate --run_id {run_id} --suspects spectral --device cpu"
    assert program(line)[0] == 0
    again = np.load(kept(store, newest_of(store, "evaluate"), "suspects/indices.npy"))
    assert not set(again.tolist()) & set(forgotten.tolist())


@pytest.mark.slow
def test_a_picture_that_was_found_is_a_trigger(
    poisoned: Poisoned, program: Program, tmp_path: Path
) -> None:
    picture = tmp_path / "found.png"
    Image.new("RGBA", (4, 4), (255, 255, 255, 255)).save(picture)
    line = f"evaluate --run_id {poisoned.original} --suspects spectral --target cat --device cpu"
    metrics, said = [], []
    for attack in (
        f"--trigger image --trigger_image {picture}",
        "--trigger patch --trigger_size 4",
    ):
        status, out, _ = program(f"{line} {attack}")
        assert status == 0
        said.append(out)
        metrics.append(poisoned.store.run(newest_of(poisoned.store, "evaluate")).data.metrics)
    assert metrics[0] == metrics[1], "the same pixels"
    assert (
        "found.png, opaque (4x4 pixels, as it is; 8 pixels from the left, 8 from the top)"
        in (said[0])
    )


def test_where_nobody_is_suspected_it_is_said_and_there_is_nothing_to_forget(
    poisoned: Poisoned, program: Program
) -> None:
    strict = "--suspects clustering --suspects_silhouette 0.99"
    status, out, _ = program(f"evaluate --run_id {poisoned.original} {strict} --device cpu")
    assert status == 0
    assert "0 suspects" in out
    assert "no cluster stands out" in out
    found = newest_of(poisoned.store, "evaluate")
    assert poisoned.store.run(found).data.metrics == {"suspects": 0}
    line = f"unlearn --prune_run_id {poisoned.original} --forget suspects:{found}"
    program.refuses(line, f"suspects:{found}", "suspects nobody")
    line = f"backdoor --prune_run_id {poisoned.original} {strict} {ATTACK} --device cpu"
    status, _, err = program(line)
    assert (status, "suspects nobody" in err) == (2, True)
    assert poisoned.store.run(newest_of(poisoned.store, "backdoor")).info.status == "FAILED"


@pytest.mark.slow
def test_what_mu_poisoned_itself_is_judged_by_the_truth(
    poisoned: Poisoned, program: Program
) -> None:
    line = "backdoor --prune_epochs 1 --prune_rate 0 --prune_train_size 300 --method ft"
    line += " --epochs 1 --device cpu --suspects clustering --suspects_silhouette -1"
    assert program(line)[0] == 0
    run_id = newest_of(poisoned.store, "backdoor")
    original = newest_of(poisoned.store, "prune")
    line = f"evaluate --run_id {original} --suspects clustering --suspects_silhouette -1"
    assert program(f"{line} --device cpu")[0] == 0
    own = poisoned.store.run(newest_of(poisoned.store, "evaluate")).data.metrics
    other = poisoned.store.run(run_id).data.metrics
    for name in ("suspects_precision", "suspects_recall"):
        assert own[name] == other[name]
    assert own["ASR"] == other["ASR_before"]
    program.refuses(f"{line} {ATTACK}", f"contradicts run {original}")


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("evaluate --suspects spektral", ("unknown detector 'spektral'", "spectral")),
        ("evaluate --suspects spectral --suspects_size 0.2", ("suspects_size", "clustering")),
        ("evaluate --suspects spectral --suspects_among cow", ("suspects_among 'cow'", "ant")),
        ("evaluate --suspects spectral --metrics all", ("metrics=all", "suspects=spectral")),
        ("evaluate --suspects spectral --forget class:1", ("forget=class:1", "no effect")),
        ("evaluate --suspects_share 0.1 --forget class:1", ("suspects_share", "give suspects")),
        ("evaluate --suspects spectral --trigger patch", ("target=CLASS",)),
        ("evaluate --suspects spectral --target cat", ("trigger=patch",)),
        ("evaluate --suspects spectral --trigger_size 2", ("trigger=patch",)),
        (f"evaluate --suspects spectral {ATTACK} --trigger_size 13", ("trigger_size=13", "12x12")),
        ("evaluate --suspects spectral --trigger patch --target cow", ("target 'cow'", "ant")),
        ("backdoor --suspects spectral", ("was not poisoned by mu", "trigger, target")),
        (f"backdoor {ATTACK}", ("was not poisoned by mu", "give suspects")),
        (f"backdoor {ATTACK} --suspects spectral --poison class:0", ("poison=class:0", "leave")),
        ("unlearn --forget suspects:{original}", ("holds no list of suspects", "-e evaluate")),
        ("unlearn --forget suspects:", ("'suspects:'", "suspects:RUN_ID")),
        ("unlearn --forget suspects:{original}:0", (":0'", "suspects:RUN_ID")),
        ("unlearn --forget suspects:abc", ("'abc'", "4 digits")),
        ("unlearn --trigger patch", ("target=CLASS",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(
    poisoned: Poisoned, program: Program, line: str, texts: tuple[str, ...]
) -> None:
    entry, *words = line.format(original=poisoned.original).split()
    named = "--run_id" if entry == "evaluate" else "--prune_run_id"
    before = len(list(poisoned.store.search("")))
    program.refuses([entry, named, poisoned.original, *words], *texts)
    assert len(list(poisoned.store.search(""))) == before


def test_lists_of_other_data_of_unfinished_runs_and_that_were_changed_are_refused(
    poisoned: Poisoned, program: Program
) -> None:
    store, found = poisoned.store, search(poisoned, program)
    forget = f"--forget suspects:{found}"
    line = f"unlearn --method ft --prune_run_id {poisoned.original}"
    count = len(np.load(kept(store, found, "suspects/indices.npy")))
    program.refuses(f"{line} {forget}:999", f"suspects {count} samples", "fewer")
    program.refuses(f"unlearn --dataset digits {forget}", f"run {found} are of other data")
    store.client.set_terminated(found, "KILLED")
    program.refuses(f"{line} {forget}", "is KILLED")
    store.client.set_terminated(found, "FINISHED")
    other = kept(store, found, "suspects/indices.npy")
    np.save(other, np.load(other)[::-1])
    store.client.log_artifact(found, str(other), "suspects")
    program.refuses(f"{line} {forget}", "suspects/indices.npy", "damaged", "mu.suspects")


@pytest.mark.slow
def test_samples_that_another_original_never_saw_are_refused(
    poisoned: Poisoned, program: Program
) -> None:
    found = search(poisoned, program)
    line = f"prune --dataset imagefolder --data_dir {poisoned.folder} --epochs 1 --rate 0"
    assert program(f"{line} --train_size 100 --device cpu")[0] == 0
    other = newest_of(poisoned.store, "prune")
    line = f"unlearn --prune_run_id {other} --forget suspects:{found}"
    program.refuses(line, "not trained on", "train_size")


@pytest.mark.slow
def test_an_interrupted_run_of_a_stated_attack_goes_on_with_it(
    poisoned: Poisoned, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = poisoned.store
    line = f"backdoor --prune_run_id {poisoned.original} {ATTACK} --suspects spectral --epochs 2"
    assert program(f"{line} --device cpu")[0] == 0
    whole = store.run(newest_of(store, "backdoor")).data

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(cleanse, "_save", stop)
        assert program(f"{line} --device cpu")[0] == 130
    stopped = newest_of(store, "backdoor")
    program.refuses(f"backdoor --resume_run_id {stopped} --target ant", "target=0 contradicts")
    program.refuses(f"backdoor --resume_run_id {stopped} --trigger_size 2", "trigger_size=2")
    assert program(f"backdoor --resume_run_id {stopped} --device cpu")[0] == 0
    again = store.run(stopped).data
    assert again.metrics["ASR"] == whole.metrics["ASR"]
    assert again.params == whole.params
    assert {"suspects/suspects.csv", "poison/trigger.json"} <= set(files(store, stopped))
    wanted = f"--forget suspects:{stopped} --prune_run_id {poisoned.original} --method ft"
    assert program(f"unlearn {wanted} --epochs 1 --device cpu")[0] == 0


@pytest.mark.parametrize(("duplicates", "more"), [("forget", True), ("keep", False)])
def test_exact_copies_of_suspects_are_forgotten_too_or_kept_and_an_interruption_changes_nothing(
    duplicates: str, more: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = make_dataset(train=30)
    recipe = make_recipe(dataset)
    trained = Spec(DataSpec.of(dataset), recipe).split(dataset).train.tolist()
    suspected, copy, other = trained[3], trained[7], trained[9]
    digests = [f"{number:064x}" for number in range(30)]
    digests[copy] = digests[suspected]
    names = [f"train/{number}.png" for number in range(30)]
    files = Manifest("/pictures", PartFiles(names, digests), PartFiles([], []))
    dataset = replace(dataset, manifest=files)
    checkpoint = Checkpoint(recipe.model.build(0), Mask({}), Spec(DataSpec.of(dataset), recipe))
    search = Search("spectral", Request(), duplicates)
    found = Suspects(np.array([other, suspected]), np.array([2.0, 1.0]), stand_out=True)
    monkeypatch.setattr(Search, "run", lambda *_: found)
    split = search.split(checkpoint, dataset, Run(device="cpu"))
    assert split.forget.tolist() == sorted({other, suspected, *([copy] if more else [])})
    assert split.copies.tolist() == [copy]
    # What is kept for a resumed run, which searches again.
    again = Search.of({**search.options(), "duplicates": duplicates})
    saved: list[object] = []
    monkeypatch.setattr(Search, "save", lambda *_: saved.append(1))
    problem = UnlearningProblem("id", checkpoint, dataset, split, "spectral", DeviceOptions())
    again.repeat(None, problem)  # type: ignore[arg-type]
    assert saved


def test_what_was_noted_as_suspects_were_sought_is_a_note_of_the_unlearning() -> None:
    dataset = make_dataset(train=30)
    recipe = make_recipe(dataset)
    checkpoint = Checkpoint(recipe.model.build(0), Mask({}), Spec(DataSpec.of(dataset), recipe))
    original = TrackedModel("id", checkpoint)
    split = checkpoint.spec.forget_split(dataset, ForgetRequest.parse("class:0"))

    def select(_: Checkpoint, run: Run, __: object) -> ForgetSplit:
        run.note("nobody stands out")
        return split

    options, device = UnlearnOptions(oracle_run_id="none"), DeviceOptions(device="cpu")
    plan = UnlearnPlan(
        None, options, make_method("ft", {}), device, dataset, original, "spectral", select, {}
    )  # type: ignore[arg-type]
    assert plan.task(original).notes == ["nobody stands out"]


def test_a_suspect_is_listed_with_the_label_that_it_was_told() -> None:
    dataset = make_poison([2], target=1).apply(make_dataset([0, 1, 2] * 10, classes=3))
    (row,) = rows_of(Suspects(np.array([2]), np.array([9.0]), stand_out=True), dataset)
    assert row["class"] == dataset.classes[1]
