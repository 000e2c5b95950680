"""Named data sets, read from small files that are made here and checked against what went in."""

import gzip
import io
import os
import struct
import urllib.error
import urllib.request
import zlib

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

from mu.data import DATASETS, cifar10_jpeg, load_data
from mu.data.cifar10_jpeg import ORDER_NAME, TAR_NAME
from mu.data.files.cache import store_cached
from mu.data.images import Images, channel_statistics
from mu.data.torchvision_sets import CIFAR10_CLASSES as CLASSES
from mu.data.torchvision_sets import MNIST_FILES as FILES
from tests.data.published_files import idx
from tests.helpers import encoded, flipped, make_dataset, refused, write_tar, write_tree


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MU_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def no_network(monkeypatch):
    """Fail at once where a download is tried."""

    def unreachable(*_args, **_kwargs):
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)


def picture(seed, height=8, width=None, channels=3):
    """Random pixels of shape (height, width, channels), or (height, width) of one channel."""
    shape = (height, width or height, channels)[: 3 if channels > 1 else 2]
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def as_image(pixels):
    """A training image as (height, width, channels)."""
    return pixels.permute(1, 2, 0).numpy()


def arrays(dataset):
    parts = (dataset.train, dataset.test)
    return [array.numpy() for part in parts for array in (part.pixels, part.labels)]


def assert_same(one, other):
    assert one.classes == other.classes
    for left, right in zip(arrays(one), arrays(other), strict=True):
        assert np.array_equal(left, right)


# --- all of them --------------------------------------------------------------------------


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_that_does_not_exist_is_refused_by_its_path(name, tmp_path):
    with refused(str(tmp_path / "nowhere"), "does not exist"):
        load_data(name, tmp_path / "nowhere")


@pytest.mark.parametrize("name", ["imagefolder", "cifar10_jpeg"])
def test_a_dataset_that_needs_a_folder_says_so(name):
    with refused(f"dataset={name}", "data_dir"):
        load_data(name)


@pytest.mark.parametrize("name", sorted({*DATASETS} - {"digits"}))
def test_an_empty_folder_is_refused(name, tmp_path):
    with refused(str(tmp_path)):
        load_data(name, tmp_path)


@pytest.mark.parametrize("name", sorted({*DATASETS} - {"digits"}))
def test_a_file_of_text_is_refused(name, tmp_path):
    (tmp_path / "notes.txt").write_text("no data at all\n")

    with refused("notes.txt"):
        load_data(name, tmp_path / "notes.txt")


def test_the_fingerprint_changes_with_one_pixel_one_label_or_one_class_name():
    def changed(part=None, what=None):
        dataset = make_dataset(train=12, test=6)
        if part is not None:
            getattr(getattr(dataset, part), what).view(-1)[5] ^= 1
        return dataset.fingerprint

    named = make_dataset(train=12, test=6, names=("a", "b", "c")).fingerprint
    places = [(part, what) for part in ("train", "test") for what in ("pixels", "labels")]

    assert changed() == changed()
    assert len({changed(), named, *(changed(*place) for place in places)}) == 6


def test_statistics_are_those_of_all_pixels():
    pixels = picture(0, 7, 5)[None].repeat(3, 0)
    pixels[1] //= 2
    images = Images(torch.from_numpy(pixels).permute(0, 3, 1, 2), torch.zeros(3, dtype=torch.int64))

    mean, std = channel_statistics(images)

    scaled = pixels.astype(np.float64) / 255
    np.testing.assert_allclose(mean, scaled.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(std, scaled.std((0, 1, 2)), atol=1e-6)


def test_images_of_one_grey_have_a_deviation_that_can_be_divided_by():
    images = Images(torch.full((2, 1, 3, 3), 51, dtype=torch.uint8), torch.zeros(2).long())

    assert channel_statistics(images) == ((0.2,), (1.0,))


# --- digits -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


def test_digits_are_numbered_as_published(digits):
    published = load_digits()

    assert (len(digits.train), len(digits.test)) == (1437, 360)
    labels = torch.cat([digits.train.labels, digits.test.labels]).numpy()
    assert np.array_equal(labels, published.target)
    pixels = torch.cat([digits.train.pixels, digits.test.pixels])[:, 0].numpy()
    assert np.array_equal(np.rint(pixels / (255 / 16)), published.images)


def test_the_fingerprint_of_the_digits_never_changes(digits):
    # Every checkpoint names its data by it.
    assert digits.fingerprint == (
        "b98f23437d4ee4691569b3c28a991d6c2d58807a651831f1490751f0065a42ee"
    )


@pytest.mark.parametrize("name", [name for name in DATASETS if not DATASETS[name].resizes])
def test_images_of_one_size_are_not_resized(name):
    with refused("image_size=32", name, "one size", "leave it out"):
        load_data(name, None, 32)


# --- imagefolder --------------------------------------------------------------------------


def two_parts(size=8, held="test"):
    """Files of two classes, three training and two test images each, and their pixels."""
    pixels = {}
    for part, count in (("train", 3), (held, 2)):
        for label, name in enumerate(("ants", "bees")):
            for number in range(count):
                seed = len(pixels)
                pixels[f"{part}/{name}/{number}.png"] = picture(seed, size) // 2 + 100 * label
    return {name: encoded(one) for name, one in pixels.items()}, pixels


@pytest.mark.parametrize("held", ["test", "val"])
@pytest.mark.parametrize("place", ["folder", "tar", "tar.gz"])
def test_images_of_a_folder_or_tar_are_numbered_class_by_class(held, place, tmp_path):
    files, pixels = two_parts(held=held)
    if place == "folder":
        root = write_tree(tmp_path / "pictures", files)
    else:
        stored = [(f"./{name}", content) for name, content in reversed(files.items())]
        root = write_tar(tmp_path / f"pictures.{place}", stored, "w:gz" if "gz" in place else "w")

    dataset = load_data("imagefolder", root)

    assert dataset.classes == ("ants", "bees")
    assert dataset.image_size == 8
    assert dataset.train.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert dataset.test.labels.tolist() == [0, 0, 1, 1]
    for part, images in (("train", dataset.train), (held, dataset.test)):
        names = sorted(name for name in pixels if name.startswith(part))
        for name, image in zip(names, images.pixels, strict=True):
            assert np.array_equal(as_image(image), pixels[name])
    scaled = np.stack([pixels[name] for name in pixels if name.startswith("train")]) / 255
    np.testing.assert_allclose(dataset.mean, scaled.mean((0, 1, 2)), atol=1e-6)
    np.testing.assert_allclose(dataset.std, scaled.std((0, 1, 2)), atol=1e-6)


def test_the_same_images_have_the_same_fingerprint_wherever_they_lie(tmp_path):
    files, _ = two_parts()
    folder = load_data("imagefolder", write_tree(tmp_path / "one", files))
    moved = load_data("imagefolder", write_tree(tmp_path / "two" / "deeper", files))
    packed = load_data("imagefolder", write_tar(tmp_path / "three.tar", files.items()))

    assert folder.fingerprint == moved.fingerprint == packed.fingerprint


def test_mixed_sizes_become_squares_of_64_pixels_cropped_in_the_middle(tmp_path):
    files, _ = two_parts(size=64)
    wide = np.zeros((64, 128, 3), np.uint8)
    wide[:, 32:96] = picture(5, 64)
    files["train/ants/0.png"] = encoded(wide)
    files["train/ants/1.png"] = encoded(picture(6, 10, 30))

    dataset = load_data("imagefolder", write_tree(tmp_path, files))

    assert dataset.shape == (3, 64, 64)
    assert np.array_equal(as_image(dataset.train.pixels[0]), picture(5, 64))


def test_images_of_one_size_that_are_no_squares_become_squares(tmp_path):
    files, _ = two_parts()
    files = {name: encoded(picture(3, 20, 10)) for name in files}

    assert load_data("imagefolder", write_tree(tmp_path, files)).shape == (3, 64, 64)


def test_a_size_that_is_asked_for_is_taken(tmp_path):
    files, _ = two_parts(size=16)
    dataset = load_data("imagefolder", write_tree(tmp_path, files), 4)

    assert dataset.shape == (3, 4, 4)
    assert dataset.image_size == 4
    first = Image.open(io.BytesIO(files["train/ants/0.png"]))
    expected = np.asarray(first.resize((4, 4), Image.Resampling.BILINEAR))
    assert np.array_equal(as_image(dataset.train.pixels[0]), expected)


def test_grey_images_have_three_equal_channels(tmp_path):
    files, _ = two_parts()
    grey = picture(9, 8, channels=1)
    files["train/ants/0.png"] = encoded(grey)

    dataset = load_data("imagefolder", write_tree(tmp_path, files))

    assert np.array_equal(as_image(dataset.train.pixels[0]), np.stack([grey] * 3, -1))


def test_grey_images_of_16_bits_keep_their_greys(tmp_path):
    files, _ = two_parts()
    grey = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    files["train/ants/0.png"] = encoded(grey)

    dataset = load_data("imagefolder", write_tree(tmp_path, files))

    assert np.abs(dataset.train.pixels[0, 0].numpy() - grey / 257).max() <= 1


def test_transparency_is_dropped(tmp_path):
    files, _ = two_parts()
    clear = np.dstack([picture(9), np.zeros((8, 8), np.uint8)])
    files["train/ants/0.png"] = encoded(clear)

    dataset = load_data("imagefolder", write_tree(tmp_path, files))

    assert np.array_equal(as_image(dataset.train.pixels[0]), clear[..., :3])


def huge_png():
    """A PNG whose header promises 2.5 thousand million pixels."""

    def chunk(kind, body):
        checksum = struct.pack(">I", zlib.crc32(kind + body))
        return struct.pack(">I", len(body)) + kind + body + checksum

    header = struct.pack(">IIBBBBB", 50_000, 50_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


DAMAGED = {
    "empty": b"",
    "text": b"this is no image",
    "cut": encoded(picture(1, 40))[:-40],
    "cut jpeg": encoded(picture(1, 40), "JPEG")[:400],
    "changed": flipped(encoded(picture(1, 40)), 60, 0x55),
    "huge": huge_png(),
}


@pytest.mark.parametrize("size", [None, 8])
@pytest.mark.parametrize("kind", DAMAGED)
@pytest.mark.parametrize("pack", [False, True], ids=["folder", "tar"])
def test_a_damaged_image_is_named_in_one_line(size, kind, pack, tmp_path):
    files, _ = two_parts()
    files["train/bees/1.png"] = DAMAGED[kind]
    root = (
        write_tar(tmp_path / "pictures.tar", files.items())
        if pack
        else write_tree(tmp_path / "pictures", files)
    )

    with refused("train/bees/1.png", "damaged"):
        load_data("imagefolder", root, size)


def packed(tmp_path, mode):
    files, _ = two_parts(size=24)
    return write_tar(tmp_path / "pictures.tar", files.items(), mode)


@pytest.mark.parametrize("mode", ["w", "w:gz", "w:xz"])
@pytest.mark.parametrize("part", [0.0, 0.02, 0.3, 0.77])
def test_a_truncated_tar_is_refused(mode, part, tmp_path):
    tar = packed(tmp_path, mode)
    whole = tar.read_bytes().rstrip(b"\0") if mode == "w" else tar.read_bytes()
    tar.write_bytes(whole[: int(part * len(whole))])

    with refused("pictures.tar", "no readable tar"):
        load_data("imagefolder", tar)


@pytest.mark.parametrize("beyond", [0, 100, 256, 511])
def test_a_tar_that_ends_at_or_in_a_header_is_refused(beyond, tmp_path):
    # Everything before the cut is whole; only that the end-of-archive blocks are missing tells.
    tar = packed(tmp_path, "w")
    whole = tar.read_bytes()
    name = b"test/bees/1.png"
    tar.write_bytes(whole[: whole.index(name) + beyond])

    with refused("pictures.tar", "no readable tar"):
        load_data("imagefolder", tar)


def test_a_damaged_header_inside_a_tar_is_refused(tmp_path):
    tar = packed(tmp_path, "w")
    whole = tar.read_bytes()
    tar.write_bytes(flipped(whole, whole.index(b"test/bees/1.png") + 3, 0x10))

    with refused("pictures.tar", "no readable tar"):
        load_data("imagefolder", tar)


def test_images_that_would_not_fit_into_memory_are_refused_before_they_are_read(
    tmp_path, monkeypatch
):
    files, _ = two_parts()
    monkeypatch.setattr("mu.data.files.decode.MEMORY_LIMIT", 10**6)

    with refused("image_size", "8 GiB"):
        load_data("imagefolder", write_tree(tmp_path, files), 2_000, stream=False)


# --- cifar10_jpeg -------------------------------------------------------------------------

COUNTS = {"train": [3, 1, 2, 4, 1, 2, 3, 1, 2, 1], "test": [1, 2, 1, 1, 2, 1, 1, 1, 1, 2]}


def jpeg_files(seed=0):
    """A few JPEG files for each class and part."""
    return {
        f"{part}/{name}/{number:04d}.jpg": encoded(
            picture(seed + 1000 * (part == "test") + 10 * label + number, 32), "JPEG"
        )
        for part, counts in COUNTS.items()
        for label, name in enumerate(CLASSES)
        for number in range(counts[label])
    }


def decoded(content):
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))


@pytest.fixture
def pack(tmp_path):
    """A folder with a small tar, and what is in the tar."""
    files = jpeg_files()
    write_tar(tmp_path / TAR_NAME, files.items(), "w:xz")
    return tmp_path, files


def write_order(folder, seed=3):
    rng = np.random.default_rng(seed)
    labels = {
        f"{part}_labels": rng.permutation(np.repeat(np.arange(10), counts)).astype(np.uint8)
        for part, counts in COUNTS.items()
    }
    np.savez(folder / ORDER_NAME, **labels, classes=np.array(CLASSES))
    return labels


def test_without_an_order_the_pack_is_numbered_class_by_class(pack):
    folder, files = pack
    dataset = load_data("cifar10_jpeg", folder)

    for part, images in (("train", dataset.train), ("test", dataset.test)):
        names = sorted(name for name in files if name.startswith(part))
        assert images.labels.tolist() == [CLASSES.index(name.split("/")[1]) for name in names]
        for name, image in zip(names, images.pixels, strict=True):
            assert np.array_equal(as_image(image), decoded(files[name]))


def test_with_an_order_the_kth_of_a_class_is_its_kth_file(pack):
    folder, files = pack
    order = write_order(folder)
    dataset = load_data("cifar10_jpeg", folder)

    for part, images in (("train", dataset.train), ("test", dataset.test)):
        seen = dict.fromkeys(range(10), 0)
        assert images.labels.tolist() == order[f"{part}_labels"].tolist()
        for label, image in zip(images.labels.tolist(), images.pixels, strict=True):
            name = f"{part}/{CLASSES[label]}/{seen[label]:04d}.jpg"
            assert np.array_equal(as_image(image), decoded(files[name]))
            seen[label] += 1


def test_the_tar_itself_may_be_named_and_its_order_still_counts(pack):
    folder, _ = pack
    write_order(folder)

    by_tar = load_data("cifar10_jpeg", folder / TAR_NAME)

    assert_same(by_tar, load_data("cifar10_jpeg", folder))


def forbid_decoding(monkeypatch):
    def fail(*_args):
        pytest.fail("the images were decoded again")

    monkeypatch.setattr(cifar10_jpeg, "decode", fail)


def test_the_second_time_the_cache_is_read_with_or_without_an_order(pack, cache, monkeypatch):
    folder, _ = pack
    plain = load_data("cifar10_jpeg", folder)
    assert list(cache.iterdir())
    forbid_decoding(monkeypatch)

    assert_same(load_data("cifar10_jpeg", folder), plain)
    order = write_order(folder)
    ordered = load_data("cifar10_jpeg", folder)
    assert ordered.train.labels.tolist() == order["train_labels"].tolist()
    assert ordered.fingerprint != plain.fingerprint


def test_the_cache_leaves_no_temporary_files_behind(pack, cache):
    load_data("cifar10_jpeg", pack[0])

    assert {path.suffix for path in cache.iterdir()} == {".npy"}


def test_another_tar_of_the_same_name_is_not_mistaken_for_the_cached_one(pack):
    folder, _ = pack
    first = load_data("cifar10_jpeg", folder)
    write_tar(folder / TAR_NAME, jpeg_files(seed=500).items(), "w:xz")

    assert load_data("cifar10_jpeg", folder).fingerprint != first.fingerprint


def as_npy(array):
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def as_npz():
    stream = io.BytesIO()
    np.savez(stream, pixels=np.zeros(3, np.uint8))
    return stream.getvalue()


DAMAGES = {
    "empty": lambda _: b"",
    "cut": lambda whole: whole[:-1],
    "half a header": lambda whole: whole[:40],
    "text": lambda _: b"not an array",
    "an archive": lambda _: as_npz(),
    "pixels alone": lambda whole: as_npy(np.load(io.BytesIO(whole))["pixels"]),
    "another type": lambda whole: as_npy(np.zeros(len(whole), np.float32)),
}


@pytest.mark.parametrize("kind", DAMAGES)
def test_a_damaged_cache_is_rebuilt(kind, pack, cache, monkeypatch):
    folder, _ = pack
    first = load_data("cifar10_jpeg", folder)
    (path,) = cache.glob("*-train.npy")
    path.write_bytes(DAMAGES[kind](path.read_bytes()))

    assert_same(load_data("cifar10_jpeg", folder), first)
    forbid_decoding(monkeypatch)
    assert_same(load_data("cifar10_jpeg", folder), first)


def test_a_cache_that_cannot_be_written_costs_only_time(pack, tmp_path, monkeypatch):
    first = load_data("cifar10_jpeg", pack[0])
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("MU_CACHE", str(tmp_path / "file"))

    assert_same(load_data("cifar10_jpeg", pack[0]), first)


def test_a_cache_whose_disk_fills_up_leaves_nothing_behind(cache, monkeypatch):
    def full(file, array, **_options):
        file.write(b"half of it")
        raise OSError("no space left on device")

    monkeypatch.setattr(np, "save", full)
    store_cached(cache / "pixels.npy", np.zeros(9))

    assert list(cache.iterdir()) == []


def test_an_order_that_does_not_fit_the_tar_is_refused(pack):
    folder, _ = pack
    labels = write_order(folder)
    labels["train_labels"][0] = (labels["train_labels"][0] + 1) % 10
    np.savez(folder / ORDER_NAME, **labels)

    with refused(ORDER_NAME, "does not fit"):
        load_data("cifar10_jpeg", folder)


@pytest.mark.parametrize("kind", ["text", "cut", "other names", "negative", "too many classes"])
def test_a_damaged_order_file_is_refused(kind, pack):
    folder, _ = pack
    labels = write_order(folder)
    path = folder / ORDER_NAME
    if kind == "text":
        path.write_bytes(b"no archive")
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[:200])
    elif kind == "other names":
        np.savez(path, train=labels["train_labels"])
    else:
        wrong = labels["train_labels"].astype(np.int64)
        wrong[0] = -1 if kind == "negative" else 10
        np.savez(path, train_labels=wrong, test_labels=labels["test_labels"])

    with refused(ORDER_NAME):
        load_data("cifar10_jpeg", folder)


def test_a_tar_of_something_else_is_refused(tmp_path):
    files, _ = two_parts()
    write_tar(tmp_path / TAR_NAME, files.items(), "w:xz")

    with refused(TAR_NAME, "train/<class>"):
        load_data("cifar10_jpeg", tmp_path)


@pytest.mark.skipif("MU_PACK" not in os.environ, reason="MU_PACK names no folder of the real pack")
def test_the_real_pack_has_the_official_labels():
    dataset = load_data("cifar10_jpeg", os.environ["MU_PACK"])

    assert (len(dataset.train), len(dataset.test)) == (50_000, 10_000)
    assert dataset.shape == (3, 32, 32)
    assert dataset.train.labels[:10].tolist() == [6, 9, 9, 4, 1, 1, 2, 7, 8, 3]
    assert dataset.test.labels[:10].tolist() == [3, 8, 8, 0, 6, 6, 1, 6, 3, 1]
    assert dataset.train.labels.bincount().tolist() == [5000] * 10
    scaled = dataset.train.pixels.double().mean((0, 2, 3)) / 255
    np.testing.assert_allclose(scaled.numpy(), dataset.mean, atol=0.01)


# --- fashion_mnist ------------------------------------------------------------------------


@pytest.fixture
def fashion():
    """Contents of the four files, by name, and the arrays in them."""
    rng = np.random.default_rng(2)
    values = [
        rng.integers(0, 256, (12, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 12, dtype=np.uint8),
        rng.integers(0, 256, (5, 28, 28), dtype=np.uint8),
        rng.integers(0, 10, 5, dtype=np.uint8),
    ]
    files = {name: idx(array) for name, array in zip(FILES, values, strict=True)}
    return files, values


def gzipped(files):
    return {f"{name}.gz": gzip.compress(content) for name, content in files.items()}


@pytest.mark.parametrize("kind", ["raw", "gz", "mixed", "torchvision"])
def test_fashion_mnist_is_read_from_its_four_files(kind, fashion, tmp_path):
    files, values = fashion
    stored = {
        "raw": files,
        "gz": gzipped(files),
        "mixed": {**dict(list(files.items())[:2]), **dict(list(gzipped(files).items())[2:])},
        "torchvision": {f"FashionMNIST/raw/{name}": one for name, one in files.items()},
    }[kind]
    before = write_tree(tmp_path / "fashion", stored)

    dataset = load_data("fashion_mnist", tmp_path / "fashion")

    for array, expected in zip(arrays(dataset), values, strict=True):
        assert np.array_equal(array.reshape(expected.shape), expected)
    assert dataset.shape == (1, 28, 28)
    assert dataset.classes[9] == "Ankle boot"
    assert {
        path.relative_to(before).as_posix() for path in before.rglob("*") if path.is_file()
    } == (set(stored))


def test_fashion_mnist_with_a_file_missing_is_refused(fashion, tmp_path):
    files, _ = fashion
    files.pop(FILES[2])

    with refused(str(tmp_path), "data_dir"):
        load_data("fashion_mnist", write_tree(tmp_path, files))


# Of the contents of the first two files: what takes their places.
DAMAGED_FASHION = {
    "empty": lambda images, labels: (b"", labels),
    "cut": lambda images, labels: (images[:-5], labels),
    "text": lambda images, labels: (b"this is no IDX file at all", labels),
    "another type": lambda images, labels: (b"\x00\x00\x0d\x03" + images[4:], labels),
    "another magic": lambda images, labels: (b"\x00\x00\x07\x03" + images[4:], labels),
    "swapped": lambda images, labels: (labels, images),
    "fewer labels": lambda images, labels: (images, idx(np.zeros(11, np.uint8))),
    "labels beyond the classes": lambda images, labels: (images, idx(np.full(12, 77, np.uint8))),
}


@pytest.mark.parametrize("kind", DAMAGED_FASHION)
def test_damaged_files_of_fashion_mnist_are_refused(kind, fashion, tmp_path):
    files, _ = fashion
    damaged = DAMAGED_FASHION[kind](files[FILES[0]], files[FILES[1]])
    files.update(zip(FILES[:2], damaged, strict=True))
    with refused(str(tmp_path)):
        load_data("fashion_mnist", write_tree(tmp_path, files))


@pytest.mark.parametrize("kind", ["cut", "empty", "text", "garbled"])
def test_a_damaged_gz_file_of_fashion_mnist_is_refused_by_name(kind, fashion, tmp_path):
    files = gzipped(fashion[0])
    name = f"{FILES[0]}.gz"
    whole = files[name]
    # The first byte after the header says how the data is packed; 7 is no such way.
    files[name] = {
        "cut": whole[:-20],
        "empty": b"",
        "text": b"no gzip",
        "garbled": whole[:10] + b"\x07" + whole[11:],
    }[kind]

    with refused(str(tmp_path)):
        load_data("fashion_mnist", write_tree(tmp_path, files))


# --- cifar10 ------------------------------------------------------------------------------


def test_cifar10_that_cannot_be_downloaded_names_the_way_out(tmp_path):
    with refused(str(tmp_path), "nor can it be downloaded", "cifar10_jpeg"):
        load_data("cifar10", tmp_path)


def test_a_damaged_archive_of_cifar10_is_refused(tmp_path):
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half a download")

    with refused(str(tmp_path)):
        load_data("cifar10", tmp_path)


def test_a_folder_without_fashion_mnist_is_left_as_it_was(monkeypatch, tmp_path):
    (tmp_path / "mine.txt").write_text("stays")

    def cannot_download(root, **_):
        (root / "FashionMNIST" / "raw").mkdir(parents=True, exist_ok=True)
        raise RuntimeError("no network")

    cannot_download.classes = []
    monkeypatch.setattr("mu.data.torchvision_sets.FashionMNIST", cannot_download)
    with refused(str(tmp_path), "dataset-fashion-mnist", "no network"):
        load_data("fashion_mnist", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]
