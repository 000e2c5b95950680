"""Published data sets, read from small files in the published formats."""

import gzip
import io
import shutil
import tarfile
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import cifar, flowers102, stl10, svhn

from mu.data import load_data, published, tiny_imagenet, torchvision_sets
from tests.data.published_files import MADE, pictures, png
from tests.helpers import encoded, flipped, refused, write_tree

COUNTED = ("gtsrb", "oxford_pets", "tiny_imagenet")
CHECKED = {"cifar100": cifar, "svhn": svhn, "stl10": stl10, "flowers102": flowers102}
RESIZED = ("gtsrb", "flowers102", "oxford_pets")
SIZES = dict.fromkeys(RESIZED, 8)
FILES = {name: make() for name, make in MADE.items()}


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """A cache of this test's own."""
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("MU_CACHE", str(folder))
    return folder


@pytest.fixture(autouse=True)
def tried(monkeypatch):
    """Fail at once where a download is tried; what was asked for is in the list."""
    asked = []

    def unreachable(request, *_args, **_kwargs):
        asked.append(request.full_url)
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", unreachable)
    return asked


@pytest.fixture
def small(monkeypatch):
    """Take made-up files for the published ones: neither checksums nor numbers of images count."""
    for module in CHECKED.values():
        monkeypatch.setattr(module, "check_integrity", lambda path, md5=None: Path(path).is_file())
    for name in COUNTED:
        counts = (len(FILES[name].train[1]), len(FILES[name].test[1]))
        monkeypatch.setitem(published.COUNTS, name, counts)


def load(name, folder=None):
    return load_data(name, folder, SIZES.get(name))


def assert_is(dataset, made):
    for images, (pixels, labels) in ((dataset.train, made.train), (dataset.test, made.test)):
        assert images.labels.tolist() == labels
        assert np.array_equal(images.pixels.numpy(), pixels)
    assert dataset.classes == made.classes


def listed(root):
    """Every file and folder below ``root``, and ``root`` itself."""
    return {root, *root.rglob("*")} if root.exists() else set()


# --- what was written is read -------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
@pytest.mark.usefixtures("small")
def test_every_pixel_and_label_is_read_in_the_published_order(name, tmp_path, tried):
    made = FILES[name]
    folder = write_tree(tmp_path, made.files)
    before = listed(folder)

    dataset = load(name, folder)

    assert_is(dataset, made)
    assert (dataset.name, dataset.data_dir) == (name, str(folder))
    assert dataset.image_size == SIZES.get(name)
    scaled = made.train[0] / 255
    np.testing.assert_allclose(dataset.mean, scaled.mean((0, 2, 3)), atol=1e-6)
    np.testing.assert_allclose(dataset.std, scaled.std((0, 2, 3)), atol=1e-6)
    assert listed(folder) == before
    assert not tried


@pytest.mark.parametrize("name", MADE)
@pytest.mark.usefixtures("small")
def test_without_a_folder_the_cache_is_read(name, cache):
    write_tree(cache / name, FILES[name].files)

    dataset = load(name)

    assert_is(dataset, FILES[name])
    assert dataset.data_dir == str(cache / name)


@pytest.mark.parametrize("name", ["cifar10", "fashion_mnist"])
def test_the_older_data_sets_look_into_the_cache_too(name, cache, monkeypatch, tmp_path):
    monkeypatch.setattr(torchvision_sets, "DEBIAN", tmp_path / "not installed")

    with refused(str(cache / name), "nor can it be downloaded"):
        load_data(name)


@pytest.mark.parametrize("name", MADE)
@pytest.mark.usefixtures("small")
def test_files_that_are_not_needed_may_be_missing_or_damaged(name, tmp_path):
    made = FILES[name]
    without = {path: one for path, one in made.files.items() if path not in made.spare}
    damaged = {**made.files, **dict.fromkeys(made.spare, b"text")}

    assert_is(load(name, write_tree(tmp_path / "without", without)), made)
    assert_is(load(name, write_tree(tmp_path / "damaged", damaged)), made)


@pytest.mark.parametrize("kind", ["raw", "gz"])
def test_mnist_is_read_from_its_four_files_alone(kind, tmp_path):
    made = FILES["mnist"]
    files = {Path(path).name: content for path, content in made.files.items()}
    if kind == "gz":
        files = {f"{name}.gz": gzip.compress(content) for name, content in files.items()}

    assert_is(load("mnist", write_tree(tmp_path, files)), made)


# --- sizes --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", RESIZED)
@pytest.mark.usefixtures("small")
def test_images_become_squares_cropped_in_the_middle(name, tmp_path):
    files = dict(FILES[name].files)
    first = next(path for path in files if path.endswith((".ppm", ".jpg")))
    wide = np.zeros((40, 80, 3), np.uint8)
    wide[:, 20:60] = middle = pictures(1, 40, 99)[0].transpose(1, 2, 0)
    files[first] = encoded(wide, "PPM")

    dataset = load_data(name, write_tree(tmp_path, files), 40)

    assert dataset.shape == (3, 40, 40)
    assert dataset.image_size == 40
    assert any(np.array_equal(one, middle.transpose(2, 0, 1)) for one in dataset.train.pixels)
    pixels, _ = FILES[name].test
    grown = Image.open(io.BytesIO(png(pixels[0]))).resize((40, 40), Image.Resampling.BILINEAR)
    assert np.array_equal(dataset.test.pixels[0].permute(1, 2, 0), grown)


@pytest.mark.parametrize(
    ("name", "size"), [("gtsrb", 32), ("flowers102", 224), ("oxford_pets", 224)]
)
@pytest.mark.usefixtures("small")
def test_the_default_size(name, size, tmp_path):
    dataset = load_data(name, write_tree(tmp_path, FILES[name].files))

    assert dataset.shape == (3, size, size)
    assert dataset.image_size == size


@pytest.mark.parametrize("name", RESIZED)
@pytest.mark.usefixtures("small")
def test_images_that_would_not_fit_into_memory_are_refused_before_they_are_read(
    name, tmp_path, monkeypatch
):
    folder = write_tree(tmp_path, FILES[name].files)
    monkeypatch.setattr(published, "decode", lambda *_: pytest.fail("an image was read"))
    monkeypatch.setattr("mu.data.files.decode.MEMORY_LIMIT", 10**6)

    with refused(str(folder), "image_size", "8 GiB"):
        load_data(name, folder, 4_000)


# --- what is not there --------------------------------------------------------------------


@pytest.mark.parametrize("name", MADE)
def test_what_can_not_be_downloaded_is_refused_and_leaves_nothing_behind(
    name, tmp_path, cache, tried
):
    (tmp_path / "mine.txt").write_text("stays")

    with refused(str(tmp_path), "nor can it be downloaded", "no network", "data_dir"):
        load(name, tmp_path)
    with refused(str(cache / name), "nor can it be downloaded", "data_dir"):
        load(name)

    assert tried
    assert listed(tmp_path) == {tmp_path, tmp_path / "mine.txt"}
    assert listed(cache) == {cache}


@pytest.mark.parametrize("name", CHECKED)
def test_files_other_than_the_published_ones_are_refused(name, tmp_path):
    folder = write_tree(tmp_path, FILES[name].files)

    with refused(str(folder), "neither whole in", "nor can it be downloaded", "data_dir"):
        load(name, folder)


@pytest.mark.usefixtures("small")
def test_what_is_not_there_is_downloaded_once(tmp_path, monkeypatch):
    downloaded = []

    def download(_url, root, filename, _md5):
        downloaded.append(filename)
        write_tree(Path(root), {filename: FILES["svhn"].files[filename]})

    monkeypatch.setattr(svhn, "download_url", download)
    for _ in range(2):
        assert_is(load("svhn", tmp_path), FILES["svhn"])

    assert downloaded == ["train_32x32.mat", "test_32x32.mat"]


@pytest.mark.parametrize("name", COUNTED)
@pytest.mark.parametrize("part", ["train", "test"])
@pytest.mark.usefixtures("small")
def test_an_incomplete_data_set_is_refused(name, part, tmp_path, monkeypatch):
    folder = write_tree(tmp_path, FILES[name].files)
    train, test = published.COUNTS[name]
    asked = (train + 1, test) if part == "train" else (train, test - 1)
    monkeypatch.setitem(published.COUNTS, name, asked)

    with refused(
        str(folder),
        f"{train} training and {test} test",
        f"not {asked[0]} and {asked[1]}",
        "data_dir",
    ):
        load(name, folder)


def test_the_published_numbers():
    assert published.COUNTS == {
        "gtsrb": (26_640, 12_630),
        "oxford_pets": (3_680, 3_669),
        "tiny_imagenet": (100_000, 10_000),
    }


# --- damage -------------------------------------------------------------------------------

NEEDED = [(name, path) for name, made in FILES.items() for path in made.files]
NEEDED = [(name, path) for name, path in NEEDED if path not in FILES[name].spare]
DAMAGES = {
    "empty": lambda _: b"",
    "a third": lambda whole: whole[: len(whole) // 3],
    "two thirds": lambda whole: whole[: 2 * len(whole) // 3],
    "text": lambda _: b"no such file at all\n",
    "bytes": lambda whole: bytes(range(256)) * (1 + len(whole) // 256),
}


def images_once(cases):
    """One image of each data set; all its other files."""
    seen = set()
    for name, path in cases:
        image = path.endswith((".ppm", ".jpg", ".JPEG"))
        if not image or name not in seen:
            yield name, path
        if image:
            seen.add(name)


each_file = pytest.mark.parametrize(("name", "path"), list(images_once(NEEDED)))


@each_file
@pytest.mark.usefixtures("small")
def test_a_damaged_file_is_refused_in_one_line(name, path, tmp_path):
    folder = write_tree(tmp_path, FILES[name].files)
    for kind, damage in DAMAGES.items():
        write_tree(folder, {path: damage(FILES[name].files[path])})
        with refused(str(folder)) as refusal:
            load(name, folder)
        assert "data_dir" in refusal.message or "replace them" in refusal.message, kind
        assert "UserError" not in refusal.message, kind
        assert "nor can it be downloaded" not in refusal.message, kind


@each_file
@pytest.mark.usefixtures("small")
def test_a_file_without_its_last_bytes_is_refused_or_holds_all_the_same(name, path, tmp_path):
    folder = write_tree(tmp_path, FILES[name].files)
    for cut in (1, 2, 5, 9, 17, 40):
        write_tree(folder, {path: FILES[name].files[path][:-cut]})
        try:
            dataset = load(name, folder)
        except Exception as error:
            with refused(str(folder)):
                raise error
        else:
            assert_is(dataset, FILES[name])


@each_file
@pytest.mark.usefixtures("small")
def test_a_missing_file_is_refused_in_one_line(name, path, tmp_path):
    files = {other: content for other, content in FILES[name].files.items() if other != path}
    folder = write_tree(tmp_path, files)

    with refused(str(folder), "data_dir"):
        load(name, folder)


@each_file
@pytest.mark.usefixtures("small")
def test_a_folder_in_the_place_of_a_file_is_refused_in_one_line(name, path, tmp_path):
    files = {other: content for other, content in FILES[name].files.items() if other != path}
    folder = write_tree(tmp_path, files)
    (folder / path).mkdir(parents=True)

    with refused(str(folder), "data_dir"):
        load(name, folder)


@pytest.mark.parametrize(
    ("name", "path", "other"),
    [
        ("mnist", "MNIST/raw/train-labels-idx1-ubyte", "MNIST/raw/t10k-labels-idx1-ubyte"),
        ("cifar100", "cifar-100-python/train", "cifar-100-python/meta"),
        ("stl10", "stl10_binary/train_X.bin", "stl10_binary/test_X.bin"),
        ("stl10", "stl10_binary/test_y.bin", "stl10_binary/train_y.bin"),
        ("flowers102", "flowers-102/setid.mat", "flowers-102/imagelabels.mat"),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_file_in_the_place_of_another_is_refused(name, path, other, tmp_path):
    files = dict(FILES[name].files)
    files[path] = files[other]

    with refused(str(tmp_path), "damaged"):
        load(name, write_tree(tmp_path, files))


@pytest.mark.parametrize(
    ("name", "path", "old", "new"),
    [
        ("stl10", "stl10_binary/train_y.bin", b"\x01", b"\x00"),
        ("gtsrb", "gtsrb/GT-final_test.csv", b";40\n", b";43\n"),
        ("gtsrb", "gtsrb/GT-final_test.csv", b";40\n", b";-1\n"),
    ],
)
@pytest.mark.usefixtures("small")
def test_a_label_that_is_none_is_refused(name, path, old, new, tmp_path):
    files = dict(FILES[name].files)
    files[path] = files[path].replace(old, new)
    assert files[path] != FILES[name].files[path]

    with refused(str(tmp_path), "labels from", "damaged, replace them"):
        load(name, write_tree(tmp_path, files))


@pytest.mark.usefixtures("small")
def test_an_image_that_is_listed_twice_is_refused(tmp_path):
    files = dict(FILES["gtsrb"].files)
    name = "gtsrb/GT-final_test.csv"
    files[name] = files[name].replace(b"00000.ppm", b"00002.ppm")

    with refused(str(tmp_path), "00002.ppm", "twice", "data_dir"):
        load("gtsrb", write_tree(tmp_path, files))


@pytest.mark.parametrize(
    ("part", "old", "new"),
    [
        ("test", "american_bulldog_20 2", "american_bulldog_20 1"),
        ("trainval", "Abyssinian_13 1", "Abyssinian_13 2"),
        ("both", " 3 1 3", " 2 1 3"),
    ],
)
@pytest.mark.usefixtures("small")
def test_pets_whose_lists_disagree_about_the_breeds_are_refused(part, old, new, tmp_path):
    files = dict(FILES["oxford_pets"].files)
    for one in ["test", "trainval"] if part == "both" else [part]:
        name = f"oxford-iiit-pet/annotations/{one}.txt"
        files[name] = files[name].replace(old.encode(), new.encode())
        assert files[name] != FILES["oxford_pets"].files[name]

    with refused(str(tmp_path), "damaged", "labels of the breeds", "data_dir"):
        load("oxford_pets", write_tree(tmp_path, files))


# --- tiny_imagenet ------------------------------------------------------------------------

TINY = FILES["tiny_imagenet"]


def write_zip(path, files):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("tiny-imagenet-200")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize("place", ["the folder", "above", "zip", "above zip", "flat zip", "tar"])
@pytest.mark.usefixtures("small")
def test_tiny_imagenet_is_read_from_its_folder_or_an_archive(place, tmp_path, tried):
    if place in ("the folder", "above"):
        root = write_tree(tmp_path, TINY.files)
        root = root / "tiny-imagenet-200" if place == "the folder" else root
    elif place == "tar":
        root = tmp_path / "tiny.tar.gz"
        tree = write_tree(tmp_path / "tree", TINY.files)
        with tarfile.open(root, "w:gz") as archive:
            archive.add(tree, ".")
    else:
        top = "tiny-imagenet-200/" if place == "flat zip" else ""
        stored = {name.removeprefix(top): one for name, one in reversed(TINY.files.items())}
        root = write_zip(tmp_path / "tiny-imagenet-200.zip", stored)
        root = tmp_path if place == "above zip" else root

    dataset = load("tiny_imagenet", root)

    assert_is(dataset, TINY)
    assert dataset.data_dir == str(root)
    assert not tried


@pytest.mark.usefixtures("small")
def test_tiny_imagenet_is_downloaded_whole_or_again(tmp_path, monkeypatch):
    whole = write_zip(tmp_path / "whole.zip", TINY.files).read_bytes()
    contents = [whole[:1000], whole]

    def download(url, root, filename, md5):
        assert (url, len(md5)) == ("http://cs231n.stanford.edu/tiny-imagenet-200.zip", 32)
        content = contents.pop(0)
        write_tree(Path(root), {filename: content})
        if content != whole:
            raise RuntimeError("File not found or corrupted.")

    monkeypatch.setattr(tiny_imagenet, "download_url", download)
    folder = tmp_path / "data"
    folder.mkdir()
    with refused(str(folder), "nor can it be downloaded", "corrupted", "data_dir"):
        load("tiny_imagenet", folder)
    assert_is(load("tiny_imagenet", folder), TINY)

    assert [path.name for path in folder.iterdir()] == ["tiny-imagenet-200.zip"]


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.8, 0.999])
@pytest.mark.usefixtures("small")
def test_a_truncated_zip_is_refused(part, tmp_path):
    path = write_zip(tmp_path / "tiny-imagenet-200.zip", TINY.files)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(part * len(whole))])

    with refused(str(path), "no readable", "data_dir"):
        load("tiny_imagenet", path)


@pytest.mark.parametrize("name", ["wnids.txt", "train/n02012849/images/n02012849_1.JPEG"])
@pytest.mark.usefixtures("small")
def test_a_changed_byte_in_a_zip_is_refused(name, tmp_path):
    path = write_zip(tmp_path / "tiny-imagenet-200.zip", TINY.files)
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, whole.index(name.encode()) + len(name) + 3, 0x20))

    with refused(str(path), "no readable zip", "data_dir"):
        load("tiny_imagenet", path)


@pytest.mark.parametrize("missing", ["words.txt", "val/images/val_3.JPEG"])
@pytest.mark.usefixtures("small")
def test_a_zip_that_lacks_a_file_is_refused_by_its_name(missing, tmp_path):
    files = {name: one for name, one in TINY.files.items() if not name.endswith(missing)}
    path = write_zip(tmp_path / "tiny-imagenet-200.zip", files)

    with refused(str(path), f"tiny-imagenet-200/{missing}", "data_dir"):
        load("tiny_imagenet", path)


def test_any_class_folders_may_lie_in_a_zip(tmp_path):
    files = {
        f"{part}/{name}/{number}.png": png(pictures(1, 8, 10 * number + len(part + name))[0])
        for part in ("train", "test")
        for name in ("ants", "grasshoppers")
        for number in range(2)
    }
    folder = load_data("imagefolder", write_tree(tmp_path / "tree", files))
    packed = load_data("imagefolder", write_zip(tmp_path / "pictures.zip", files))
    # A tar that ends in a zip is a tar.
    files["test/notes.zip"] = write_zip(tmp_path / "notes.zip", {"a": b"note"}).read_bytes()
    shutil.rmtree(tmp_path / "tree")
    tree = write_tree(tmp_path / "tree", files)
    with tarfile.open(tmp_path / "pictures.tar", "w") as archive:
        for name in ("train", "test"):
            archive.add(tree / name, name)

    assert packed.fingerprint == folder.fingerprint
    assert load_data("imagefolder", tmp_path / "pictures.tar").fingerprint == folder.fingerprint


# --- defaults -----------------------------------------------------------------------------
