"""A list of the samples that a network was trained on: every later step partitions exactly that."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import mu
from mu.checkpoints import Spec
from mu.data.forget_request import ForgetRequest
from mu.data.images import ImageDataset
from mu.data.ranges import bounds_of, from_ranges, to_ranges
from mu.evaluation.challenge import Challenge
from mu.foreign.originals import Imported, import_original
from mu.recipes.recipe import Recipe
from mu.transfer.checkpoint import transferred_spec
from tests.cli.foreign_files import network, save
from tests.helpers import make_dataset, refused


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return mu.load_data("digits")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return save(tmp_path / "weights.pt", dict(network().state_dict()))


@pytest.fixture
def numbers(digits: ImageDataset) -> NDArray[np.int64]:
    """1,000 samples, not stratified."""
    return np.sort(np.random.default_rng(3).permutation(len(digits.train))[:1000])


def listed(folder: Path, numbers: NDArray[np.int64], suffix: str = "npy") -> Path:
    """A list of sample numbers, in no order."""
    path, shuffled = folder / f"trained_on.{suffix}", np.random.default_rng(4).permutation(numbers)
    if suffix == "npy":
        np.save(path, shuffled, allow_pickle=False)
    else:
        path.write_text("\n".join(map(str, shuffled.tolist())))
    return path


@pytest.mark.parametrize("suffix", ["npy", "txt", "csv"])
def test_the_split_is_exactly_the_list(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64], suffix: str
) -> None:
    imported = import_original(weights, digits, trained_on=f"{listed(tmp_path, numbers, suffix)}")
    parts = imported.checkpoint.spec.split(digits)
    assert parts.train.tolist() == numbers.tolist()
    others = [one for one in range(len(digits.train)) if one not in set(numbers.tolist())]
    assert parts.val.tolist() == others
    assert parts.unused.tolist() == []
    table = {one.name: one.source for one in imported.assumptions}
    assert (table["trained_on"], table["val_share"]) == ("given", "the others")
    assert imported.taken["split"].startswith("1,000 images trained on, 437 for validation")
    assert not [note for note in imported.notes if "val_share" in note]


def test_less_validation_leaves_unused_samples(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64]
) -> None:
    path = listed(tmp_path, numbers)
    parts = [
        import_original(
            weights, digits, trained_on=f"{path}", val_share=0.1, split_seed=seed
        ).checkpoint.spec.split(digits)
        for seed in (0, 1)
    ]
    for one in parts:
        assert one.train.tolist() == numbers.tolist()
        assert (len(one.val), len(one.unused)) == (144, 293)
        whole = np.concatenate([one.train, one.val, one.unused])
        assert sorted(whole.tolist()) == list(range(len(digits.train)))
    assert parts[0].val.tolist() != parts[1].val.tolist()
    (none,) = [
        import_original(weights, digits, trained_on=f"{path}", val_share=0.0).checkpoint.spec
    ]
    assert len(none.split(digits).val) == 0


def test_the_spec_keeps_the_list(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64]
) -> None:
    checkpoint = import_original(
        weights, digits, trained_on=f"{listed(tmp_path, numbers)}"
    ).checkpoint
    checkpoint.save(tmp_path)
    read = mu.Checkpoint.load(tmp_path).spec
    assert read == checkpoint.spec
    assert read.split(digits).train.tolist() == numbers.tolist()
    forgotten = read.without(numbers[:7], "ft")
    assert forgotten.split(digits).train.tolist() == numbers[7:].tolist()
    params = read.settings()["trained_on"]
    assert params.startswith("1000 samples, sha256 ")
    assert len(params) < 60


def test_fingerprints_know_the_list_and_old_ones_stay(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64]
) -> None:
    def fingerprints(imported: Imported) -> tuple[str, str]:
        spec = imported.checkpoint.spec
        return spec.fingerprint, spec.recipe.fingerprint

    plain = import_original(weights, digits)
    some = [
        import_original(
            weights, digits, trained_on=f"indices:{listed(tmp_path, chosen)}", val_share=0.0
        )
        for chosen in (numbers, numbers[1:])
    ]
    for found in zip(*map(fingerprints, (plain, *some)), strict=True):
        assert len({*found}) == 3
    document = plain.checkpoint.spec.as_dict()
    assert "trained_on" not in document["recipe"]
    assert "trained_on" not in plain.checkpoint.spec.settings()
    assert Spec.from_dict(json.loads(json.dumps(document))) == plain.checkpoint.spec


def test_a_recipe_of_an_earlier_version_has_its_fingerprint() -> None:
    """Made by the version before lists of trained samples."""
    recipe = mu.make_recipe(mu.load_data("digits"), rate=0.95, epochs=3, seed=2)
    assert recipe.fingerprint == EARLIER
    assert Recipe.from_dict(recipe.as_dict()).fingerprint == EARLIER


EARLIER = "0298b6d74d24a71d551eb134af7417ebe879a425089e24456cd3ae1461dfb375"


def test_unlearning_and_retrain_use_the_list(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    import mu.originals.rounds as rounds

    settings: dict[str, Any] = {"epochs": 1, "augment": "none"}
    path = listed(tmp_path, numbers)
    checkpoint = import_original(weights, digits, trained_on=f"{path}", **settings).checkpoint
    split = mu.forget_split(checkpoint, digits, "class:3")
    labels = digits.train.labels.numpy()
    assert split.forget.tolist() == numbers[labels[numbers] == 3].tolist()
    assert split.retain.tolist() == numbers[labels[numbers] != 3].tolist()
    seen: list[list[int]] = []
    trained = rounds.train_network

    def spy(recipe: Recipe, data: Any, *rest: Any, **more: Any) -> Any:
        seen.append(data.indices.tolist())
        return trained(recipe, data, *rest, **more)

    monkeypatch.setattr(rounds, "train_network", spy)
    mu.make_method("retrain").unlearn(checkpoint, split, mu.Run(device="cpu"))
    assert seen == [split.retain.tolist()]
    outside = next(one for one in range(len(labels)) if one not in set(numbers.tolist()))
    (tmp_path / "forget.txt").write_text(f"{outside}")
    with refused(f"sample {outside} was in the validation part"):
        mu.forget_split(checkpoint, digits, f"indices:{tmp_path / 'forget.txt'}")


@pytest.mark.parametrize(
    ("text", "settings", "words"),
    [
        ("", {}, ("names no samples", "give at least one to trained_on")),
        ("3\n1437", {}, ("sample 1437 does not exist", "0 to 1436")),
        ("3\n-1", {}, ("sample -1 does not exist",)),
        ("3\n5\n3", {}, ("names sample 3 2 times",)),
        ("3\nfive", {}, ("'five' is no sample number",)),
        ("3\n5", {"train_size": 2}, ("train_size=2", "trained_on lists the training images")),
        (
            "\n".join(map(str, range(1400))),
            {"val_share": 0.1},
            ("val_share=0.1 is 144 images, but only 37 are not in trained_on", "give less"),
        ),
    ],
)
def test_lists_that_cannot_be(
    digits: ImageDataset, weights: Path, tmp_path: Path, text: str, settings: dict[str, Any],
    words: tuple[str, ...],
) -> None:  # fmt: skip
    path = tmp_path / "list.txt"
    path.write_text(text)
    with refused(*words):
        import_original(weights, digits, trained_on=f"{path}", **settings)


def test_a_missing_list_is_named(digits: ImageDataset, weights: Path) -> None:
    with refused("there is no index file '/no/such.txt'"):
        import_original(weights, digits, trained_on="/no/such.txt")


def test_numbers_of_other_data_are_not_taken_over(
    digits: ImageDataset, weights: Path, tmp_path: Path, numbers: NDArray[np.int64]
) -> None:
    spec = import_original(
        weights, digits, trained_on=f"{listed(tmp_path, numbers)}"
    ).checkpoint.spec
    target = make_dataset(train=40)
    assert transferred_spec(spec, target).split(target).train.max() < 40
    split = spec.forget_split(digits, ForgetRequest.parse("random:30"))
    game = Challenge.of(split, 0)
    for number in (0, 1):
        trained = game.spec_of(spec, number).split(game.dataset).train
        seen = game.samples[game.seen(number)["attacked"]]
        assert trained.tolist() == sorted([*split.retain.tolist(), *seen.tolist()])


# --- lists as texts -----------------------------------------------------------------------


def test_ranges_and_back() -> None:
    draws = np.random.default_rng(0)
    for share in (0.01, 0.5, 0.99, 1.0):
        numbers = np.flatnonzero(draws.random(500) < share)
        text = to_ranges(numbers)
        assert from_ranges(text, 500).tolist() == numbers.tolist()
    assert to_ranges(np.array([0, 1, 2, 7, 9, 10])) == "0-2,7,9-10"
    assert from_ranges("0-2,7,9-10", 11).tolist() == [0, 1, 2, 7, 9, 10]


@pytest.mark.parametrize(
    "text", ["", "3-", "5-2", "1,1", "4,2", "0-3,2-9", "a", "-1", "1;2", None, 3]
)
def test_texts_that_are_no_ranges(text: Any) -> None:
    with pytest.raises(ValueError, match=r"no sample numbers|do not ascend"):
        bounds_of(text)


def test_a_damaged_list_in_a_spec(digits: ImageDataset, weights: Path, tmp_path: Path) -> None:
    spec = import_original(weights, digits).checkpoint.spec
    document = json.loads(json.dumps(spec.as_dict()))
    document["recipe"] = {**document["recipe"], "trained_on": "9-3"}
    with refused("the checkpoint's spec is damaged", "do not ascend"):
        Spec.from_dict(document)
    document["recipe"]["trained_on"] = f"0-{10**11}"
    with refused("sample 100000000000", "only 1437 training images"):
        Spec.from_dict(document).split(digits)


def test_a_list_of_file_names(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("test", 2)):
        for name in ("bee", "fly"):
            folder = tmp_path / "data" / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                pixels = np.random.default_rng([number, len(part)]).integers(
                    0, 255, (8, 8), np.uint8
                )
                Image.fromarray(pixels).save(folder / f"{number}.png")
    data = mu.load_data("imagefolder", tmp_path / "data", image_size=8)
    assert data.manifest is not None
    (tmp_path / "list.txt").write_text("bee/3.png\nfly/*\nbee/0.png\n")
    path = save(tmp_path / "w.pt", dict(network(classes=2, channels=3).state_dict()))
    settings: dict[str, Any] = {
        "arch": "resnet_mini",
        "trained_on": f"files:{tmp_path / 'list.txt'}",
    }
    parts = import_original(path, data, **settings).checkpoint.spec.split(data)
    names = [data.manifest.train.names[number] for number in parts.train]
    assert [name.split("train/")[-1] for name in names] == [
        "bee/0.png", "bee/3.png", *(f"fly/{number}.png" for number in range(6))
    ]  # fmt: skip
    (tmp_path / "list.txt").write_text("bee/9.png\n")
    with refused("no training image is called 'bee/9.png' (line 1)"):
        import_original(path, data, **settings)
