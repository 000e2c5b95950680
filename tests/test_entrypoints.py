"""A mistake of the user is one line that names the value and the remedy, status 2, and no run."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mu.tracking import Store
from tests.commands import Program, one_line, run_count
from tests.conftest import PrunedStore, store_uri
from tests.processes import PATIENCE, python
from tests.tracking.handovers import hand_over
from tests.training.networks import PLAIN

# --- before any store is opened -----------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("prune --seed 99999999999999999999999", ("seed=9999", "at most 4294967295")),
        ("unlearn --seed 4294967296", ("seed=4294967296", "at most 4294967295")),
        ("prune --split_seed 4294967296", ("split_seed=4294967296", "at most 4294967295")),
        ("prune --iterations 5", ("'iterations'", "pruner=synflow", "not of prune")),
        ("unlearn --prune_samples 5", ("'prune_samples'", "prune_pruner=snip")),
        ("prune --image_size 16", ("image_size=16", "digits", "one size")),
        ("prune --sam_adaptive true", ("sam_adaptive=True", "give sam_rho")),
        ("prune --pruner synflow --rewind pt", ("rewind=pt", "initial weights", "when=trained")),
        ("prune --pruner snip --rewind_epoch 2", ("rewind_epoch=2", "nothing is rewound")),
        ("prune --rate 95%", ("rate='95%'", "as a share, 95% is 0.95")),
        ("prune --dataset digit", ("dataset 'digit'", "did you mean digits")),
        ("prune --dataset cifar", ("dataset 'cifar'", "cifar10")),
        ("prune --dataset qqqq", ("dataset 'qqqq'", "known: ", "fashion_mnist")),
        ("prune --arch resnet19", ("arch 'resnet19'", "did you mean", "resnet18")),
        ("prune --pruner ompp", ("pruner 'ompp'", "did you mean omp")),
        ("unlearn --method l1sparse", ("method 'l1sparse'", "did you mean", "l1_sparse")),
        ("unlearn --method=retrian", ("method 'retrian'", "did you mean", "retrain")),
        ("unlearn --dataset digit", ("dataset 'digit'", "did you mean digits")),
        ("unlearn --prune_pruner ompp", ("pruner 'ompp'", "did you mean omp")),
        ("prune --rate 1", ("rate=1.0", "below 1")),
        ("prune --rate -0.1", ("rate=-0.1", "at least 0")),
        ("prune --rate=nan", ("rate=nan", "finite")),
        ("prune --rate most", ("rate='most'", "float")),
        ("prune --epochs 0", ("epochs=0", "at least 1")),
        ("prune --epochs 2.5", ("epochs='2.5'", "int")),
        ("prune --epochs 3 --rewind_epoch 3", ("rewind_epoch=3", "below epochs=3")),
        ("prune --epochs 3 --warmup 4", ("warmup=4", "epochs=3")),
        ("prune --epochs 3 --rewind_epoch 7", ("rewind_epoch=7", "below epochs=3")),
        ("prune --rewind lt --rewind_epoch 3", ("rewind_epoch=3", "rewind=lt", "leave it out")),
        ("prune --rewind back", ("rewind 'back'", "rewind_lt")),
        ("prune --pruner omp --rounds 2", ("rounds=2", "pruner=imp")),
        ("prune --profile sma", ("profile 'sma'", "did you mean sam")),
        ("prune --optimizer rmsprop", ("optimizer 'rmsprop'", "adamw")),
        ("prune --sam_rho -1", ("sam_rho=-1", "at least 0")),
        ("prune --label_smoothing 1", ("label_smoothing=1", "below 1")),
        ("prune --sam_adaptive maybe", ("sam_adaptive='maybe'", "bool")),
        ("prune --mask_run_id a --resume_run_id b", ("resume_run_id", "leave mask_run_id out")),
        ("prune --seed -1", ("seed=-1", "at least 0")),
        ("prune --schedule cosin", ("schedule 'cosin'", "did you mean cosine")),
        ("prune --train_size 100000", ("train_size=100000", "fewer")),
        ("prune --device cuda:99", ("device='cuda:99'", "try auto")),
        ("prune --device gpu", ("device='gpu'", "try auto")),
        ("prune --precision fp8", ("precision 'fp8'",)),
        ("prune --epoch 3", ("option of prune 'epoch'", "did you mean", "epochs")),
        ("prune --forget class:0", ("option of prune 'forget'",)),
        ("prune --rate", ("'--rate' requires an argument",)),
        ("prune digits", ("unexpected extra argument (digits)",)),
        ("unlearn --method ft --alpha 0.1", ("'alpha'", "method=l1_sparse", "method=ft")),
        ("unlearn --method retrain --lr 0.1", ("'lr'", "method=ft", "method=retrain")),
        ("unlearn --alpha -1", ("alpha=-1", "at least 0")),
        ("unlearn --lr fast", ("lr='fast'", "float")),
        ("unlearn --forget klass:0", ("forget='klass:0'", "class:3", "indices:FILE")),
        ("unlearn --forget class:", ("forget='class:'", "class:3")),
        ("unlearn --forget random:0", ("forget='random:0'", "at least one")),
        ("unlearn --forget random:100%", ("forget='random:100%'", "below 100")),
        ("unlearn --forget random:-5", ("forget='random:-5'", "random:450")),
        ("prune --dataset imagefolder", ("imagefolder needs data_dir",)),
        ("prune --dataset cifar10_jpeg", ("cifar10_jpeg needs data_dir",)),
        ("prune --dataset imagefolder --data_dir /no/such", ("'/no/such' does not exist",)),
    ],
)
def test_refused_before_a_store_is_opened(
    program: Program, line: str, texts: tuple[str, ...], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(tmp_path / "mlflow.db"))
    if "cuda" in line and torch.cuda.device_count() > 99:
        pytest.skip("there really are that many")
    program.refuses(line, *texts)
    assert not any(tmp_path.iterdir())


def image_folder(root: Path, count: int = 6) -> Path:
    """A folder of two classes of small grey images."""
    for number, name in enumerate(("cats", "dogs")):
        (root / name).mkdir(parents=True)
        for index in range(count):
            grey = np.full((8, 8), 40 * index + number, np.uint8)
            Image.fromarray(grey).save(root / name / f"{index}.png")
    return root


def test_a_damaged_image_is_named(program: Program, tmp_path: Path) -> None:
    folder = image_folder(tmp_path / "images")
    file = folder / "dogs" / "3.png"
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"no image", b""):
        file.write_bytes(content)
        line = ["prune", "--dataset", "imagefolder", "--data_dir", str(folder)]
        program.refuses(line, "'dogs/3.png'", "damaged", "repair or remove it")


def test_a_folder_without_classes_is_named(program: Program, tmp_path: Path) -> None:
    line = ["prune", "--dataset", "imagefolder", "--data_dir", str(tmp_path)]
    program.refuses(line, repr(str(tmp_path)), "no class folders")


@pytest.mark.parametrize("uri", ["file:/nowhere", "http://127.0.0.1:9"])
def test_a_store_that_cannot_be_used(
    program: Program, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    program.refuses("prune", uri, "MLFLOW_TRACKING_URI")
    program.refuses("unlearn", uri, "MLFLOW_TRACKING_URI")


# --- what to forget -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("forget", "texts"),
    [
        ("class:10", ("no class '10' in digits", "0 to 9")),
        ("class:cat", ("no class 'cat' in digits", "0, 1, 2")),
        ("class:3:5000", ("5000 samples", "of class 3")),
        ("random:5000", ("5000 samples", "only {count}")),
        ("random:{count}", ("whole training set",)),
        ("indices:/no/such/file.txt", ("no index file '/no/such/file.txt'",)),
    ],
)
@pytest.mark.parametrize("with_original", [False, True])
def test_forget_sets_that_cannot_be(
    program: Program, pruned: PrunedStore, forget: str, texts: tuple[str, ...], with_original: bool
) -> None:
    run_id = pruned.run_id if with_original else "auto"
    count = 400 if with_original else 1293
    other = [] if with_original else ["--prune_seed", "77"]  # no such original yet
    line = ["unlearn", "--prune_run_id", run_id, "--forget", forget.format(count=count), *other]
    program.refuses(line, *(text.format(count=count) for text in texts))
    assert run_count(pruned.store) == 1


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        ("1 2 3 2", ("names sample 2 2 times",)),
        ("1 2 -3", ("sample -3 does not exist", "0 to 1436")),
        ("1 2 1437", ("sample 1437 does not exist",)),
        ("1 two 3", ("line 1: 'two'",)),
        ("1 2.5", ("'2.5'",)),
        ("", ("names no samples",)),
        (" ".join(map(str, range(1437))), ("validation part",)),
    ],
)
def test_lists_of_samples_that_cannot_be(
    program: Program, pruned: PrunedStore, tmp_path: Path, content: str, texts: tuple[str, ...]
) -> None:
    file = tmp_path / "list.txt"
    file.write_text(content)
    line = ["unlearn", "--prune_run_id", pruned.run_id, "--forget", f"indices:{file}"]
    program.refuses(line, str(file), *texts)
    assert run_count(pruned.store) == 1


def test_a_list_of_the_whole_training_set(
    program: Program, pruned: PrunedStore, tmp_path: Path
) -> None:
    import mu

    data = mu.load_data("digits")
    parts = mu.load_checkpoint(pruned.run_id).spec.split(data)
    np.save(tmp_path / "all.npy", parts.train, allow_pickle=False)
    line = ["unlearn", "--prune_run_id", pruned.run_id, f"--forget=indices:{tmp_path}/all.npy"]
    program.refuses(line, "whole training set")
    np.save(tmp_path / "floats.npy", np.array([1.5]), allow_pickle=False)
    line = ["unlearn", "--prune_run_id", pruned.run_id, f"--forget=indices:{tmp_path}/floats.npy"]
    program.refuses(line, "floats.npy", "whole numbers")


# --- runs given by ID ---------------------------------------------------------------------


def test_originals_that_are_none(program: Program, pruned: PrunedStore) -> None:
    store = pruned.store
    running = hand_over(store, status="RUNNING")
    failed = hand_over(store, status="FAILED")
    other = hand_over(store, entry="compare")
    deleted = hand_over(store)
    store.client.delete_run(deleted)
    count = run_count(store)
    program.refuses("unlearn --prune_run_id 0123", "begins with '0123'", "`mu runs` lists them")
    program.refuses(f"unlearn --prune_run_id {running}", running, "is RUNNING", "FINISHED")
    program.refuses(f"unlearn --prune_run_id {failed}", failed, "is FAILED", "FINISHED")
    program.refuses(f"unlearn --prune_run_id {other}", other, "holds no network")
    program.refuses(f"unlearn --prune_run_id {deleted}", deleted, "restore")
    assert run_count(store) == count


@pytest.mark.parametrize(
    ("option", "value", "has"),
    [
        ("prune_rate", "0.5", "rate=0.95"),
        ("prune_epochs", "3", "epochs=2"),
        ("prune_seed", "1", "seed=0"),
        ("prune_split_seed", "4", "split_seed=0"),
        ("arch", "resnet20", "arch=resnet_mini"),
        ("dataset", "cifar10", "dataset=digits"),
    ],
)
def test_options_that_contradict_the_original(
    program: Program, pruned: PrunedStore, option: str, value: str, has: str
) -> None:
    line = f"unlearn --prune_run_id {pruned.run_id} --{option} {value}"
    program.refuses(line, value, pruned.run_id, has, "leave", "out")
    assert run_count(pruned.store) == 1


def test_masks_that_cannot_be_taken_over(program: Program, pruned: PrunedStore) -> None:
    store, start = pruned.store, f"prune --mask_run_id {pruned.run_id}"
    for name, value in (
        ("rate", "0.5"), ("rate", "0.95"), ("rounds", "1"), ("on_collapse", "warn"),
        ("pruner", "omp"), ("rewind", "lt"), ("rewind_epoch", "1"),
    ):  # fmt: skip
        program.refuses(f"{start} --{name} {value}", f"{name}={value}", f"leave {name} out")
    failed = hand_over(store, status="FAILED")
    program.refuses(f"prune --mask_run_id {failed}", failed, "is FAILED", "FINISHED")
    program.refuses("prune --mask_run_id 0123", "begins with '0123'")
    # One architecture has other names, one has more of the same names.
    other = f"{start} --arch {PLAIN}"
    program.refuses(other, "the mask names 'conv1.weight'", "the architecture that it was made for")
    deeper = f"{start} --arch resnet14"
    program.refuses(deeper, "'layer1.1.conv1.weight'", "the architecture that it was made for")
    program.refuses(f"{start} --train_size 100000", "train_size=100000")
    assert run_count(store) == 2


def test_oracles_that_are_none(program: Program, pruned: PrunedStore) -> None:
    start = f"unlearn --prune_run_id {pruned.run_id} --oracle_run_id"
    program.refuses(f"{start} {pruned.run_id}", pruned.run_id, "is no oracle", "method=retrain")
    program.refuses(f"{start} trian", "no run 'trian'")
    failed = hand_over(pruned.store, entry="unlearn", status="FAILED")
    program.refuses(f"{start} {failed}", failed, "is FAILED")
    assert run_count(pruned.store) == 2


# --- as a process, and under MLflow's launcher --------------------------------------------


@pytest.mark.slow
def test_a_real_process(store: Store) -> None:
    programs = (
        (("prune", "--datset", "digits"), ("'datset'", "dataset")),
        (("unlearn", "--forget", "class:11"), ("no class '11'", "0 to 9")),
    )
    with ExitStack() as stack:
        started = [
            stack.enter_context(python("-m", f"entrypoints.{entry}", *rest))
            for (entry, *rest), _ in programs
        ]
        for process, (_, texts) in zip(started, programs, strict=True):
            out, errors = process.communicate(timeout=PATIENCE)
            assert (process.returncode, out) == (2, "")
            one_line(errors, *texts)
    assert run_count(store) == 0


@pytest.mark.parametrize(
    "line",
    ["prune --rate 1", "prune --datset digits", "unlearn --forget class:10", "unlearn --method x"],
)
def test_the_launchers_run_fails_with_the_same_line(
    program: Program, store: Store, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    opened = store.client.create_run("0", tags={"mlflow.project.entryPoint": "prune"})
    monkeypatch.setenv("MLFLOW_RUN_ID", opened.info.run_id)
    said = program.refuses(line)
    run = store.run(opened.info.run_id)
    assert run.info.status == "FAILED"
    assert run.data.tags["mu.error"] == said
    assert run_count(store) == 1


def test_a_mistake_that_shows_only_in_the_work_fails_the_run(
    program: Program, store: Store
) -> None:
    status, _, errors = program("prune --epochs 2 --lr 1e30")
    assert status == 2
    said = one_line(errors, "the loss became", "lower lr")
    (run,) = store.search("")
    assert run.info.status == "FAILED"
    assert run.data.tags["mu.error"] == said


def test_a_layer_that_would_lose_all_its_weights(program: Program, store: Store) -> None:
    line = f"prune --arch {PLAIN} --rate 0.97 --epochs 1 --train_size 60 --device cpu"
    said = program.refuses(
        f"{line} --on_collapse refuse", "hidden.weight", "lower rate", "on_collapse=warn"
    )
    (run,) = store.search("")
    assert (run.info.status, run.data.tags["mu.error"]) == ("FAILED", said)
    status, out, _ = program(line)
    assert status == 0
    assert "leaves no weight in hidden.weight" in out


def test_help_is_no_mistake(program: Program) -> None:
    for line in ("prune --help", "unlearn -h", "unlearn --method ft --help"):
        status, out, errors = program(line)
        assert (status, errors) == (0, "")
        assert "--device" in out
