"""Runs on image files: what was read is said and kept, and files are forgotten by their names."""

from __future__ import annotations

import csv
import hashlib
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import mu
from mu.tasks import outputs
from mu.tracking import Store
from tests.commands import Program
from tests.test_main_job import newest

CLASSES = ("cat", "dog")
ORIGINAL = ("--dataset", "imagefolder", "--prune_epochs", "1", "--arch", "resnet_mini")
QUICK = ("--method", "ft", "--epochs", "1", "--oracle_run_id", "none", "--device", "cpu")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten training and two test images of each class; dog/000.png is a copy of cat/003.png."""
    root = tmp_path / "pictures"
    draws = np.random.default_rng(0)
    for part, count in (("train", 10), ("test", 2)):
        for kind, name in enumerate(CLASSES):
            (root / part / name).mkdir(parents=True)
            for number in range(count):
                pixels = draws.integers(0, 99, (8, 8, 3)) + 150 * kind
                image = Image.fromarray(pixels.astype(np.uint8))
                image.save(root / part / name / f"{number:03d}.png")
    shutil.copy(root / "train/cat/003.png", root / "train/dog/000.png")
    (root / "train/notes.txt").write_text("none")
    outputs._print_once.cache_clear()
    return root


def rows(store: Store, run_id: str, path: str) -> list[dict[str, str]]:
    file = Path(store.client.download_artifacts(run_id, path))
    with file.open(newline="", encoding="utf-8") as opened:
        return list(csv.DictReader(opened))


def test_what_was_read_is_said_and_kept(store: Store, program: Program, folder: Path) -> None:
    line = ["prune", *ORIGINAL[:2], "--data_dir", str(folder), "--epochs", "1"]
    status, out, _ = program([*line, "--arch", "resnet_mini", "--device", "cpu"])
    assert status == 0
    read = "20 training images in train/, 4 test images in test/, 2 classes: cat, dog"
    assert f"data: {read}; left out: 1 file" in out
    run = newest(store, "tags.`mu.entry` = 'prune'")
    assert read in run.data.tags["mlflow.note.content"]
    found = rows(store, run.info.run_id, "data/manifest.csv")
    paths = sorted(folder.glob("train/*/*.png")) + sorted(folder.glob("test/*/*.png"))
    assert [(one["part"], one["file"]) for one in found] == [
        (path.relative_to(folder).parts[0], path.relative_to(folder).as_posix()) for path in paths
    ]
    assert [int(one["number"]) for one in found] == [*range(20), *range(4)]
    for one, path in zip(found, paths, strict=True):
        assert one["class"] == path.parent.name
        assert one["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    (left,) = rows(store, run.info.run_id, "data/left_out.csv")
    assert left["file"] == "train/notes.txt"


def test_files_are_forgotten_with_their_copies(
    store: Store, program: Program, folder: Path, tmp_path: Path
) -> None:
    request = tmp_path / "request.csv"
    line = ["unlearn", *ORIGINAL, "--data_dir", str(folder), "--prune_val_share", "0", *QUICK]
    line += ["--lr", "0.1"]  # without validation images nothing else says how far to go
    request.write_text("record,subject\ncat/003.png,p1\n")
    status, out, _ = program([*line, "--forget", f"files:{request}"])
    assert status == 0
    assert "10 = train/dog/000.png" in out
    run = newest(store, "tags.`mu.entry` = 'unlearn'")
    assert "train/dog/000.png" in run.data.tags["mlflow.note.content"]
    assert run.data.params["duplicates"] == "forget"
    found = rows(store, run.info.run_id, "forget/files.csv")
    assert [one["file"] for one in found] == ["train/cat/003.png", "train/dog/000.png"]
    assert found[0]["sha256"] == found[1]["sha256"]
    assert mu.load_checkpoint(run.info.run_id).spec.removed == (3, 10)

    status, out, _ = program([*line, "--forget", f"files:{request}", "--duplicates", "keep"])
    assert status == 0
    assert "stay in the retain set: 10 = train/dog/000.png" in out
    kept = newest(store, "tags.`mu.entry` = 'unlearn'").info.run_id
    assert mu.load_checkpoint(kept).spec.removed == (3,)


def test_a_list_that_does_not_fit_leaves_no_run(
    store: Store, program: Program, folder: Path, tmp_path: Path
) -> None:
    request = tmp_path / "request.txt"
    line = ["unlearn", *ORIGINAL, "--data_dir", str(folder), *QUICK]
    for text, texts in (
        ("bird.png", ("'bird.png' (line 1)",)),
        ("001.png", ("train/cat/001.png", "train/dog/001.png")),
        ("test/cat/001.png", ("test images",)),
    ):
        request.write_text(text)
        program.refuses([*line, "--forget", f"files:{request}"], *texts)
    program.refuses(["unlearn", "--forget", f"files:{request}", *QUICK], "digits", "indices:FILE")
    program.refuses(["unlearn", "--duplicates", "drop"], "duplicates", "forget", "keep")
    assert not list(store.search(""))


def test_a_streamed_folder_and_a_file_of_images_forget_the_same(
    folder: Path, tmp_path: Path
) -> None:
    from mu.data.files.decode import decode_rgb
    from mu.data.forget_request import ForgetRequest
    from mu.data.splits import SplitSpec, split
    from mu.data.store.builder import build
    from mu.data.store.sources import of_tree

    build(of_tree(folder), tmp_path / "pictures.lmdb", decode_rgb)
    request = tmp_path / "request.txt"
    request.write_text("cat/00[345].png\ndog/001.png")
    sets = [
        mu.load_data("imagefolder", folder),
        mu.load_data("imagefolder", folder, stream=True, workers=0),
        mu.load_data("lmdb", tmp_path / "pictures.lmdb"),
        mu.load_data("lmdb", tmp_path / "pictures.lmdb", stream=True, workers=0),
    ]
    found = []
    for dataset in sets:
        parts = split(dataset.train.labels.numpy(), SplitSpec(0, 0.0))
        cut = ForgetRequest.parse(f"files:{request}").cut(dataset, parts, 0)
        found.append((cut.forget.tolist(), dataset.file_rows({"train": cut.forget}, read=True)))
    assert found[0][0] == [3, 4, 5, 10, 11]
    assert all(one == found[0] for one in found)
