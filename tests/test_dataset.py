"""The dataset entry: build, verify, train from the file, and what is refused."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from mu.data import load_data
from mu.tasks import outputs
from mu.tracking import Store
from tests.commands import Program, newest_of
from tests.data.files.trees import numbered, plant, tar_of, zip_of
from tests.test_main_job import files


@pytest.mark.slow
def test_a_named_set_becomes_a_file_that_originals_train_on(
    store: Store, program: Program, tmp_path: Path
) -> None:
    out = tmp_path / "digits.lmdb"
    status, text, _ = program(f"dataset --source digits --out {out}")
    assert status == 0
    assert f"dataset=lmdb -P data_dir={out}" in text
    run = store.run(newest_of(store, "dataset"))
    assert run.info.status == "FINISHED"
    assert run.data.metrics == {"train_images": 1437, "test_images": 360}
    assert {"card.json", "plots/contact_sheet.png"} <= set(files(store, run.info.run_id))
    (logged,) = run.inputs.dataset_inputs
    card = json.loads(logged.dataset.profile)
    assert (logged.dataset.name, card["channels"], len(card["classes"])) == ("digits", 1, 10)
    digest = out.with_name("digits.lmdb.sha256").read_text()
    assert digest.startswith(logged.dataset.digest)
    status, text, _ = program(f"dataset --verify {out}")
    assert (status, "every byte" in text) == (0, True)
    status, text, _ = program(f"dataset --source digits --out {out}")
    assert (status, "complete already, with just these images" in text) == (0, True)
    line = f"--dataset lmdb --data_dir {out} --arch resnet_mini --epochs 1 --rate 0 --device cpu "
    line += "--train_size 200"
    assert program(f"prune {line}")[0] == 0
    params = store.run(newest_of(store, "prune")).data.params
    assert (params["dataset"], params["image_size"]) == ("lmdb", "8")
    run_id = newest_of(store, "prune")
    quick = "--method ft --epochs 1 --device cpu"
    assert program(f"unlearn --prune_run_id {run_id} --forget class:3 {quick}")[0] == 0


@pytest.mark.parametrize("pack", [None, tar_of, zip_of], ids=["folder", "tar", "zip"])
def test_a_file_of_images_is_built_of_what_imagefolder_reads_and_says_so(
    store: Store, program: Program, tmp_path: Path, pack: Callable[[Path, Path], Path] | None
) -> None:
    folders = [f"{part}/{name}" for part in ("Training", "Testing") for name in ("cat", "dog")]
    noise = ["Training/.ipynb_checkpoints/0-checkpoint.png", "Training/cat/notes.txt"]
    # A zip holds no names that are no UTF-8.
    odd = "Training/cat/é.png" if pack is zip_of else os.fsdecode(b"Training/cat/\xe9.png")
    outputs._print_once.cache_clear()  # the same sentence was printed for the folder
    root = plant(tmp_path / "images", [*numbered(3, *folders, end=".tif"), *noise, odd])
    place, out = pack(root, tmp_path / "packed") if pack else root, tmp_path / "a.lmdb"

    status, text, _ = program(f"dataset --source {place} --out {out}")

    said = (
        "7 training images in Training/, 6 test images in Testing/, 2 classes: cat, dog; left out: "
        "1 file that is no image (.txt), "
        "1 hidden or service file (Training/.ipynb_checkpoints/0-checkpoint.png)"
    )
    assert status == 0
    assert f"data: {said}\n" in text
    run = store.run(newest_of(store, "dataset"))
    assert said in run.data.tags["mlflow.note.content"]
    assert "data/left_out.csv" in files(store, run.info.run_id)
    packed, plain = load_data("lmdb", out), load_data("imagefolder", place)
    assert packed.fingerprint == plain.fingerprint
    assert packed.manifest.train.names == plain.manifest.train.names
    assert odd in packed.manifest.train.names


def test_a_mistake_is_one_line_and_leaves_no_run(
    store: Store, program: Program, tmp_path: Path
) -> None:
    out, folder = tmp_path / "a.lmdb", tmp_path / "images"
    folder.mkdir()
    program.refuses("dataset", "source and out", "verify")
    program.refuses("dataset --source digits", "give out")
    program.refuses(f"dataset --source digits --out {out} --verify {out}", "verify to check one")
    program.refuses(f"dataset --source digitz --out {out}", "digitz", "digits")
    program.refuses(f"dataset --source {folder} --out {out}", "images", "class folders")
    program.refuses(f"dataset --source {folder} --out {out} --image_size 3", "image_size=3")
    program.refuses(f"dataset --source digits --out {out} --map_size 12", "map_size=12")
    program.refuses(f"dataset --verify {out}", "no file", "a.lmdb")
    out.write_bytes(b"something")
    program.refuses(f"dataset --source digits --out {out}", "is there already")
    program.refuses(f"dataset --verify {out}", "a.lmdb", "is no LMDB file")
    program.refuses(f"prune --dataset lmdb --data_dir {out}", "a.lmdb", "no LMDB")
    program.refuses("prune --dataset lmdb", "dataset=lmdb needs data_dir")
    assert not list(store.search(""))
