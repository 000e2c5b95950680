"""Streamed images: the pixels of images in memory, the same for any number of workers."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from mu.checkpoints import DataSpec, Spec
from mu.data import load_data, streaming
from mu.data.batches import Batches
from mu.data.extended import Extended
from mu.data.files.decode import decode_rgb, square_pixels
from mu.data.images import ImageDataset, Images, Subset
from mu.data.poison import Poison
from mu.data.poison_options import PoisonOptions
from mu.data.splits import Split
from mu.data.store.builder import build
from mu.data.store.sources import of_tree
from mu.data.streaming import StreamedImages
from tests.helpers import encoded, mostly_slow, refused, write_tree

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures of several sizes, two classes, some grey."""
    rng = np.random.default_rng(0)
    tree = {}
    for part, count in (("train", 9), ("val", 3)):
        for name in ("ant", "bee"):
            for number in range(count):
                size = (24, 24) if number % 3 else (20, 31)
                shape = size if number == 4 else (*size, 3)
                tree[f"{part}/{name}/{number}.png"] = encoded(rng.integers(0, 256, shape, np.uint8))
    return write_tree(tmp_path_factory.mktemp("pictures"), tree)


@pytest.fixture(scope="module")
def packed(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed") / "a.lmdb"
    build(of_tree(folder), out, decode_rgb)
    return out


@pytest.fixture(autouse=True)
def _workers_for_few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streaming, "FEW", 0)


def streamed(place: Path, workers: int = 0, size: int = 16) -> ImageDataset:
    name = "lmdb" if place.is_file() else "imagefolder"
    return load_data(name, place, size, stream=True, workers=workers)


def plain(dataset: ImageDataset, rows: list[int]) -> torch.Tensor:
    subset = dataset.training_subset(np.array(rows))
    return torch.cat([images for images, _ in Batches(subset, 4, CPU).in_order()])


def shuffled(dataset: ImageDataset, augment: str, seed: int = 0) -> list[torch.Tensor]:
    batches = Batches(dataset.training_subset(np.arange(18)), 5, CPU, augment=augment)
    generator = torch.Generator().manual_seed(seed)
    return [part for batch in batches.shuffled(generator) for part in batch]


@pytest.mark.parametrize("kind", ["folder", "packed"])
def test_what_is_streamed_is_what_lies_in_memory(kind: str, request: pytest.FixtureRequest) -> None:
    place = request.getfixturevalue(kind)
    one = streamed(place)
    name = "lmdb" if place.is_file() else "imagefolder"
    other = load_data(name, place, 16)
    assert (one.streams, other.streams) == (True, False)
    assert (one.shape, one.classes, one.image_size) == (other.shape, other.classes, 16)
    assert torch.equal(one.train.labels, other.train.labels)
    rows = torch.tensor([3, 0, 17, 4])
    assert torch.equal(one.train.fetch(rows), other.train.fetch(rows))
    assert torch.equal(one.test.fetch(rows[:2]), other.test.fetch(rows[:2]))
    same = ImageDataset(
        *(one.name, one.train, one.test, one.classes),
        mean=other.mean, std=other.std, data_dir=one.data_dir, image_size=16,
    )  # fmt: skip
    assert torch.equal(plain(same, [5, 2, 9, 1, 0]), plain(other, [5, 2, 9, 1, 0]))
    assert len(one.train.fetch(rows[:0])) == 0


def test_the_order_without_augmentation_is_that_of_images_in_memory(packed: Path) -> None:
    dataset, same = streamed(packed), load_data("lmdb", packed, 16)
    same = replace(same, mean=dataset.mean, std=dataset.std)  # the card's are at full size
    one, other = shuffled(dataset, "none"), shuffled(same, "none")
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("workers", mostly_slow([0, 2], 0))
def test_added_images_come_between_streamed_ones_as_between_those_in_memory(
    packed: Path, workers: int
) -> None:
    dataset = streamed(packed, workers)
    memory = replace(load_data("lmdb", packed, 16), mean=dataset.mean, std=dataset.std)
    more = torch.rand(20, 3, 16, 16) * 255
    found = []
    for one in (dataset, memory):
        images = Extended(one.train, more, torch.cat([one.train.labels, torch.zeros(20).long()]))
        subset = Subset(images, np.array([3, *range(18, 38), 5, 11]), one.mean, one.std)
        batches = Batches(subset, 2, CPU)  # most of them without a streamed image
        passes = [
            *batches.in_order(),
            *batches.shuffled(torch.Generator().manual_seed(4)),
            *batches.in_order(),
        ]
        found.append([torch.cat(part) for part in zip(*passes, strict=True)])
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_augmentation_depends_on_the_seed_alone(packed: Path) -> None:
    one, other = (shuffled(streamed(packed), "crop_flip", seed) for seed in (0, 0))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
    third = shuffled(streamed(packed), "crop_flip", 1)
    assert not all(torch.equal(a, b) for a, b in zip(one, third, strict=True))
    plain_ones = shuffled(streamed(packed), "none")
    assert torch.equal(plain_ones[1], one[1]), "the order is the same"
    assert not torch.equal(plain_ones[0], one[0])
    before = torch.random.get_rng_state()
    shuffled(streamed(packed), "crop")
    assert torch.equal(before, torch.random.get_rng_state()), "nobody else's draws are touched"


def test_a_sample_is_augmented_the_same_in_whichever_batch(packed: Path) -> None:
    subset = streamed(packed).training_subset(np.arange(18))
    found = []
    for size in (3, 18):
        batches = Batches(subset, size, CPU, augment="crop_flip")
        pairs = list(batches.shuffled(torch.Generator().manual_seed(2)))
        found.append(torch.cat([images for images, _ in pairs]))
    assert torch.equal(*found)


def test_shifts_and_alternating_mirroring_are_of_the_square(packed: Path) -> None:
    subset = streamed(packed).training_subset(np.arange(18))
    squares = plain(streamed(packed), [*range(18)])
    mirrored = torch.arange(18) % 2 == 0
    found = {}
    for given in (mirrored, ~mirrored):
        batches = Batches(subset, 5, CPU, augment="shift_alternate")
        for images, _ in batches.shuffled(torch.Generator().manual_seed(2), given):
            for image in images:
                # Within the margin of the shift, an image is one of the squares, moved.
                inner = image[:, 2:-2, 2:-2]
                places = [
                    (row, turned)
                    for row, square in enumerate(squares)
                    for turned in (False, True)
                    for window in (square.flip(2) if turned else square)
                    .unfold(1, 12, 1)
                    .unfold(2, 12, 1)
                    .permute(1, 2, 0, 3, 4)
                    .reshape(-1, 3, 12, 12)
                    if torch.equal(window, inner)
                ]
                assert len({*places}) == 1
                found.setdefault(places[0][0], []).append(places[0][1])
    assert found == {row: [row % 2 == 0, row % 2 == 1] for row in range(18)}


@pytest.mark.slow
def test_any_number_of_workers_gives_the_same(packed: Path, folder: Path) -> None:
    for place in (packed, folder):
        expected = shuffled(streamed(place), "crop_flip")
        for workers in (1, 2):
            dataset = streamed(place, workers)
            found = shuffled(dataset, "crop_flip")
            assert all(torch.equal(a, b) for a, b in zip(expected, found, strict=True))
            subset = dataset.training_subset(np.arange(18))
            batches = Batches(subset, 5, CPU)
            again = [torch.cat([x for x, _ in batches.in_order()]) for _ in range(2)]
            assert torch.equal(*again), "workers serve several passes"


@pytest.mark.slow
def test_a_damaged_image_is_named_by_the_process_that_waits(folder: Path, tmp_path: Path) -> None:
    tree = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")
    }
    copy = write_tree(tmp_path / "copy", tree)
    dataset = streamed(copy, workers=2)
    bad = copy / "train/bee/2.png"
    bad.write_bytes(bad.read_bytes()[:50])
    for augment in ("none", "crop_flip"):
        with refused("train/bee/2.png", "damaged"):
            shuffled(dataset, augment)
    bad.unlink()
    with refused("train/bee/2.png", "cannot be read"):
        shuffled(dataset, "none")


def test_the_fingerprint_is_of_the_files(packed: Path, folder: Path, tmp_path: Path) -> None:
    assert streamed(packed).fingerprint == streamed(packed, workers=2).fingerprint
    assert streamed(packed).fingerprint != streamed(packed, size=8).fingerprint
    assert streamed(packed).fingerprint != load_data("lmdb", packed, 16).fingerprint
    tree = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.png")
    }
    copy = write_tree(tmp_path / "copy", tree)
    assert streamed(copy).fingerprint == streamed(folder).fingerprint
    (copy / "train/ant/0.png").write_bytes(tree["train/ant/1.png"] + b"\0")
    assert streamed(copy).fingerprint != streamed(folder).fingerprint


def test_a_spec_remembers_that_its_images_are_streamed(packed: Path) -> None:
    dataset = streamed(packed)
    spec = DataSpec.of(dataset)
    assert spec.stream
    assert spec.bind(streamed(packed, workers=1)).streams
    with refused("not what the original was trained on"):
        spec.bind(load_data("lmdb", packed, 16))
    assert not DataSpec.of(load_data("lmdb", packed, 16)).stream


def test_sets_stream_when_they_do_not_fit(packed: Path, folder: Path, monkeypatch) -> None:
    assert not load_data("lmdb", packed, 16).streams
    monkeypatch.setattr("mu.data.files.decode.MEMORY_LIMIT", 1000)
    for name, place in (("lmdb", packed), ("imagefolder", folder)):
        assert load_data(name, place, 16, workers=0).streams
        with refused("exceed"):
            load_data(name, place, 16, stream=False)
    assert load_data("imagefolder", folder, workers=0).shape == (3, 224, 224)


def test_imagenet_is_always_streamed_with_its_statistics(folder: Path) -> None:
    dataset = load_data("imagenet", folder, workers=0)
    assert (dataset.streams, dataset.shape) == (True, (3, 224, 224))
    assert dataset.mean == (0.485, 0.456, 0.406)


def test_what_cannot_be_streamed_says_so(folder: Path, packed: Path, tmp_path: Path) -> None:
    import tarfile

    with refused("stream=True", "lie in memory"):
        load_data("digits", stream=True)
    with tarfile.open(tmp_path / "a.tar", "w") as tar:
        tar.add(folder, arcname=".")
    with refused("a.tar", "cannot be streamed", "-e dataset"):
        load_data("imagefolder", tmp_path / "a.tar", stream=True)
    dataset = streamed(packed)
    split = Split(np.arange(18), np.arange(0), np.arange(0))
    with refused("poisoning needs images in memory"):
        Poison.choose(PoisonOptions(poison="random:3"), {}, dataset, split, 0).apply(dataset)


def test_an_unlearning_on_streamed_images_is_one_on_images_in_memory(packed: Path) -> None:
    import mu

    numbers = []
    first, second = streamed(packed, size=8), load_data("lmdb", packed, 8)
    for dataset in (first, replace(second, mean=first.mean, std=first.std)):
        run = mu.Run(seed=0, device="cpu", show_progress=False)
        given = {"arch": "resnet_mini", "epochs": 2, "augment": "none", "val_share": 0.2}
        original = mu.train_original(dataset, mu.make_recipe(dataset, rate=0.5, **given), run)
        split = mu.forget_split(original, dataset, "random:3")
        mu.make_method("ft", {"epochs": 1}).unlearn(original, split, run)
        numbers.append(mu.evaluate(original.model, split, run))
        assert isinstance(original.spec, Spec)
    assert numbers[0] == pytest.approx(numbers[1])


def test_random_parts_are_those_of_torchvision(packed: Path) -> None:
    from torchvision.transforms import v2

    dataset = streamed(packed)
    assert isinstance(dataset.train, StreamedImages)
    decoder = streaming.Decoder(dataset.train.encoded, 16, 3, "crop_flip")
    image = Image.open(io.BytesIO(dataset.train.encoded(3)[1])).convert("RGB")
    with torch.random.fork_rng():
        torch.manual_seed(11)
        steps = [v2.RandomResizedCrop(16, antialias=True), v2.RandomHorizontalFlip()]
        expected = v2.Compose([*steps, v2.PILToTensor()])(image)
    assert torch.equal(decoder[3, 11, False], expected)
    square = square_pixels("x", dataset.train.encoded(3)[1], 16)
    assert np.array_equal(decoder[3, None, False].numpy(), square.transpose(2, 0, 1))
    assert isinstance(load_data("lmdb", packed, 16).train, Images)
