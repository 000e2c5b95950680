"""Which files of a folder are images of the data set: links, suffixes, hidden and service files."""

from __future__ import annotations

import hashlib
import io
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS

from mu.data import load_data
from mu.data.files.decode import decode, decode_rgb
from mu.data.files.names import FOREIGN, suffixes
from mu.data.files.tree import ImageTree
from mu.data.store.sources import of_tree
from tests.data.files.trees import image, listed, numbered, paths, plant, tar_of, zip_of
from tests.helpers import encoded, laws, refused

BOTH = [*numbered(3, "train/cat", "train/dog"), *numbered(1, "test/cat", "test/dog")]

# --- links in folders ---------------------------------------------------------------------


@pytest.mark.parametrize("linked", ["train/dog", "train", "test", "train/dog/00.png"])
def test_a_link_to_a_class_a_part_or_an_image_is_followed(linked: str, tmp_path: Path) -> None:
    plain = listed(plant(tmp_path / "plain", BOTH))
    root = plant(tmp_path / "linked", BOTH)
    (root / linked).rename(tmp_path / "elsewhere")
    (root / linked).symlink_to(tmp_path / "elsewhere")

    found = listed(root)

    assert found == plain
    assert (
        load_data("imagefolder", root).fingerprint
        == load_data("imagefolder", tmp_path / "plain").fingerprint
    )


def test_the_folder_itself_may_be_a_link(tmp_path: Path) -> None:
    plain = plant(tmp_path / "plain", BOTH)
    (tmp_path / "link").symlink_to(plain)

    assert listed(tmp_path / "link") == listed(plain)


def test_loops_are_ended_and_named(tmp_path: Path) -> None:
    links = {"train/cat/up": "..", "train/dog/self": ".", "train/dog/top": "../.."}
    found = listed(plant(tmp_path, BOTH, links))

    assert paths(found) == paths(listed(plant(tmp_path / "plain", BOTH)))
    assert found.skipped == {"links that lead back to a folder above": [*links]}


def test_two_folders_that_link_to_each_other_end(tmp_path: Path) -> None:
    links = {"train/cat/dogs": "../dog", "train/dog/cats": "../cat"}
    train, _ = paths(listed(plant(tmp_path, BOTH, links)))

    assert [one for one in train if one.startswith("train/cat/dogs/")] == [
        f"train/cat/dogs/{n:02d}.png" for n in range(3)
    ]
    assert len(train) == 12


def test_links_of_files_that_lead_nowhere_are_named(tmp_path: Path) -> None:
    links = {"train/cat/gone.png": "/nowhere.png", "train/cat/itself.png": "itself.png"}
    found = listed(plant(tmp_path, BOTH, links))

    assert len(found.train) == 6
    assert found.skipped == {"links that lead nowhere": sorted(links)}
    assert "2 links that lead nowhere (train/cat/gone.png, ...)" in str(found)


@pytest.mark.parametrize("link", ["train/owl", "validation", "testing"])
def test_a_link_that_leads_nowhere_where_a_class_or_part_would_be_is_refused(
    link: str, tmp_path: Path
) -> None:
    with refused(f"{link} in", str(tmp_path), "lead nowhere", "repair or remove"):
        listed(plant(tmp_path, BOTH, {link: "/nowhere/at/all"}))


def test_what_is_neither_file_nor_folder_is_named_and_not_opened(tmp_path: Path) -> None:
    root = plant(tmp_path, BOTH)
    os.mkfifo(root / "train/cat/pipe.png")  # whoever opens it waits forever

    assert listed(root).skipped == {"neither files nor folders": ["train/cat/pipe.png"]}


def test_a_folder_that_cannot_be_read_is_no_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = plant(tmp_path, BOTH)
    real = os.scandir

    def closed(path: Path) -> object:
        if str(path).endswith("dog"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", closed)  # tests may run as a user that may read everything
    with refused("dog", "Permission denied"):
        listed(root)


# --- suffixes -----------------------------------------------------------------------------


def test_every_suffix_that_torchvision_takes_is_taken() -> None:
    assert set(IMG_EXTENSIONS) <= suffixes()


@pytest.mark.filterwarnings("ignore:IM image format is deprecated")
def test_every_suffix_that_is_taken_is_of_a_format_that_is_decoded() -> None:
    """Each format that Pillow can write is read back under each of its suffixes."""
    Image.init()
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), np.uint8)
    tried = set()
    for end in sorted(suffixes()):
        kind = Image.EXTENSION[end]
        if kind in Image.SAVE:
            mode = {"XBM": "1", "MSP": "1", "GIF": "P", "BLP": "P", "PALM": "P"}.get(kind, "RGB")
            written = saved(Image.fromarray(pixels).convert(mode), kind)
            assert decode_rgb(f"a{end}", written).shape[2] == 3, end
            tried.add(kind)
    assert {"JPEG", "TIFF", "PPM", "WEBP", "BMP", "PNG", "GIF", "MPO", "TGA"} <= tried


def saved(picture: Image.Image, kind: str) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, kind)
    return stream.getvalue()


@pytest.mark.parametrize("end", [".tif", ".tiff", ".jfif", ".pgm", ".PNG", ".Jpeg", ".bmp"])
def test_a_class_of_another_suffix_is_there(end: str, tmp_path: Path) -> None:
    names = [*numbered(2, "train/cat", "test/cat"), *numbered(2, "train/dog", "test/dog", end=end)]
    dataset = load_data("imagefolder", plant(tmp_path, names))

    assert dataset.classes == ("cat", "dog")
    assert dataset.train.labels.tolist() == [0, 0, 1, 1]
    assert not listed(tmp_path).skipped


@pytest.mark.parametrize("end", [".heic", ".svg", ".dng", ".eps", ".wmf"])
def test_images_of_formats_that_cannot_be_decoded_are_named(end: str, tmp_path: Path) -> None:
    root = plant(tmp_path, [*BOTH, f"train/cat/photo{end}"])
    found = listed(root)

    assert found.skipped == {"images of formats that cannot be decoded": [f"train/cat/photo{end}"]}
    assert f"1 image of formats that cannot be decoded ({end})" in str(found)
    assert end in FOREIGN


def test_a_class_of_such_images_alone_is_refused(tmp_path: Path) -> None:
    with refused("owl/ in train/", "2 images", "cannot be decoded (.heic)", "convert"):
        listed(plant(tmp_path, [*BOTH, *numbered(2, "train/owl", end=".heic")]))


def test_a_file_is_no_image_by_what_is_in_it_nor_starts_a_program(tmp_path: Path) -> None:
    """For EPS Pillow would start Ghostscript, whatever the suffix of the file."""
    eps = saved(Image.fromarray(np.zeros((4, 4, 3), np.uint8)), "EPS")
    root = plant(tmp_path, BOTH)
    (root / "train/cat/00.png").write_bytes(eps)

    with refused("train/cat/00.png", "damaged"):
        load_data("imagefolder", root)


def test_pixels_of_floating_point_are_refused(tmp_path: Path) -> None:
    """Whether 1.0 is white or nearly black is not known."""
    root = plant(tmp_path, BOTH)
    (root / "train/cat/00.tif").write_bytes(encoded(np.ones((4, 4), np.float32), "TIFF"))

    with refused("train/cat/00.tif", "floating point", "convert"):
        load_data("imagefolder", root)


# --- hidden and service files -------------------------------------------------------------

SERVICE = [
    "train/.ipynb_checkpoints/00-checkpoint.png",
    "train/cat/.ipynb_checkpoints/00-checkpoint.png",
    "train/@eaDir/cat/SYNOPHOTO_THUMB_M.jpg",
    "train/cat/@eaDir/00.png/SYNOPHOTO_THUMB_M.jpg",
    "__MACOSX/train/cat/._00.png",
    "train/cat/._00.png",
    "#recycle/old.png",
    "$RECYCLE.BIN/old.png",
    "lost+found/old.png",
    "train/cat/.thumbnails/small.png",
    "train/cat/thumbnails/small.png",
    "train/dog/.@__thumb/small.png",
    "train/dog/@__thumb/small.png",
    "train/dog/Thumbs.db",
    "train/dog/desktop.ini",
    ".DS_Store",
]


@pytest.mark.parametrize("name", SERVICE)
def test_hidden_and_service_files_are_left_out_and_named(name: str, tmp_path: Path) -> None:
    plain = listed(plant(tmp_path / "plain", BOTH))
    for place in (plant(tmp_path / "noisy", [*BOTH, name]),):
        for root in (place, tar_of(place, tmp_path / "a.tar"), zip_of(place, tmp_path / "a.zip")):
            found = listed(root)
            assert (found.classes, found.train, found.test) == plain_parts(plain)
            assert found.skipped == {"hidden or service files": [name]}
            assert f"left out: 1 hidden or service file ({name})" in str(found)


def plain_parts(listing: object) -> tuple[object, ...]:
    return tuple(getattr(listing, name) for name in ("classes", "train", "test"))


def test_a_hidden_link_is_not_followed(tmp_path: Path) -> None:
    root = plant(tmp_path / "root", BOTH, {"train/.all": "/", ".up": ".."})

    assert plain_parts(listed(root)) == plain_parts(listed(plant(tmp_path / "plain", BOTH)))


def test_the_data_may_lie_in_a_hidden_folder(tmp_path: Path) -> None:
    assert len(listed(plant(tmp_path / ".cache" / "@eaDir", BOTH)).train) == 6


def test_names_that_only_resemble_those_of_services_are_classes(tmp_path: Path) -> None:
    names = ["$5", "#1", "@home", "~", "thumbs", "recycling", "cv"]

    assert listed(plant(tmp_path, numbered(5, *names))).classes == tuple(sorted(names))


def test_other_files_are_counted_by_suffix(tmp_path: Path) -> None:
    names = ["README.md", "train/cat/a.txt", "train/cat/b.txt", "LICENSE"]
    found = listed(plant(tmp_path, [*BOTH, *names]))

    assert found.skipped == {"files that are no images": sorted(names)}
    assert "4 files that are no images (.txt, no suffix, .md)" in str(found)


def test_what_was_read_is_one_sentence(tmp_path: Path) -> None:
    names = [*numbered(20, "train/cat", "train/dog"), *numbered(8, "test/cat", "test/dog")]
    noise = ["train/.ipynb_checkpoints/0.png", "a.txt", "b.txt", "train/owl/"]

    assert str(listed(plant(tmp_path, [*names, *noise]))) == (
        "40 training images in train/, 16 test images in test/, 2 classes: cat, dog; left out: "
        "2 files that are no images (.txt), "
        "1 hidden or service file (train/.ipynb_checkpoints/0.png), "
        "1 folder without images beside those of the classes (train/owl)"
    )


def test_a_class_whose_name_is_no_utf_8_is_refused(tmp_path: Path) -> None:
    odd = os.fsdecode(b"caf\xe9")

    with refused(r"'caf\udce9'", "UTF-8", "rename"):
        listed(plant(tmp_path, numbered(5, "tea", odd)))


def test_names_that_cannot_be_printed_are_shown_and_read(tmp_path: Path) -> None:
    odd = os.fsdecode(b"\xe9.png")
    folders = [f"{part}/{name}" for part in ("train", "test") for name in ("c\nd", "e")]
    names = [f"{folder}/{name}" for folder in folders for name in (odd, "b.png")]
    root = plant(tmp_path, names)
    for place in (root, tar_of(root, tmp_path.parent / "names.tar")):
        text = str(listed(place))
        assert text.isprintable()
        assert r"c\nd, e" in text
        assert len(load_data("imagefolder", place).train) == 4
    assert load_data("imagefolder", root, 4, stream=True, workers=0).fingerprint


# --- order, against torchvision -----------------------------------------------------------

# Characters around the slash, on both sides of it, and of both cases.
WORD = (
    st.text("aB-. 0é", min_size=1, max_size=3)
    .map(str.strip)
    .filter(lambda word: word and not word.startswith(".") and not word.endswith("."))
)
FILE = st.tuples(WORD, st.sampled_from([".png", ".PNG", ".pgm", ".tif"])).map("".join)
INSIDE = st.lists(WORD, max_size=2).flatmap(
    lambda folders: FILE.map(lambda file: "/".join([*folders, file]))
)


@laws(20)
@given(
    classes=st.dictionaries(WORD, st.sets(INSIDE, min_size=1, max_size=6), min_size=2, max_size=4)
)
def test_the_order_is_that_of_torchvision_wherever_the_images_lie(
    classes: dict[str, set[str]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    base = tmp_path_factory.mktemp("order")
    root, inside = base / "root", sorted({one for ones in classes.values() for one in ones})
    names = [f"train/{name}/{one}" for name, ones in classes.items() for one in ones]
    # A folder and a file of one name cannot both be there.
    names = [one for one in names if not any(other.startswith(f"{one}/") for other in names)]
    plant(root, [*names, f"test/{min(classes)}/{inside[0]}"])

    found = listed(root)

    expected = ImageFolder(root / "train")
    samples = [(str(root / path), label) for path, label in found.train]
    assert found.classes == tuple(expected.classes)
    assert samples == expected.samples
    for packed in (tar_of(root, base / "a.tar"), zip_of(root, base / "a.zip")):
        assert listed(packed) == found


def test_folders_inside_a_class_come_after_its_files_as_in_torchvision(tmp_path: Path) -> None:
    """By the whole path, dog-2/x.png would lie between dog/a.png and dog/z/b.png."""
    inside = ["b/0.png", "a.png", "b-c/1.png", "b.png", "b/d/2.png", "z.png", "B/3.png"]
    root = plant(tmp_path, [f"{name}/{one}" for name in ("cat", "dog", "dog-2") for one in inside])
    tree = ImageTree(root)

    expected = [Path(path).relative_to(root).as_posix() for path, _ in ImageFolder(root).samples]
    found = listed(root)

    assert sorted(tree.names) == sorted(expected)
    assert sorted([*found.train, *found.test]) == sorted(
        (path, ["cat", "dog", "dog-2"].index(path.split("/")[0])) for path in expected
    )
    kept = [path for n, path in enumerate(expected) if n % 7 != 4]
    assert [path for path, _ in found.train] == kept, "every fifth of seven is for testing"


# --- decoding -----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["folder", "tar", "zip"])
def test_decoding_gives_the_sha256_of_each_file_in_the_order_of_samples(
    kind: str, tmp_path: Path
) -> None:
    root = plant(tmp_path / "root", BOTH)
    place = {
        "folder": lambda: root,
        "tar": lambda: tar_of(root, tmp_path / "a.tar"),
        "zip": lambda: zip_of(root, tmp_path / "a.zip"),
    }[kind]()
    tree = ImageTree(place)
    samples = [("train/dog/02.png", 1), ("test/cat/00.png", 0), ("train/cat/01.png", 0)]

    images, files = decode(tree, samples, 4)

    assert list(files.names) == [name for name, _ in samples]
    assert files.known == [hashlib.sha256(image(name)).hexdigest() for name, _ in samples]
    assert images.labels.tolist() == [1, 0, 0]
    for pixels, (name, _) in zip(images.pixels, samples, strict=True):
        assert np.array_equal(pixels.permute(1, 2, 0), decode_rgb(name, image(name)))


@pytest.mark.parametrize("path", ["../secret.png", "train/../../secret.png", "/etc/hostname"])
def test_no_path_leads_out_of_the_tree(path: str, tmp_path: Path) -> None:
    """Such as one in a list that came with the images."""
    plant(tmp_path, ["secret.png"])
    root = plant(tmp_path / "root", BOTH)
    for place in (root, tar_of(root, tmp_path / "a.tar")):
        assert list(ImageTree(place).read([path, "train/cat/00.png"])) == [
            ("train/cat/00.png", image("train/cat/00.png"))
        ]


def test_a_file_of_images_is_built_of_the_same_listing(tmp_path: Path) -> None:
    links = {"Training/owl": "../elsewhere"}
    names = [one.replace("train", "Training").replace("test", "Testing") for one in BOTH]
    root = plant(tmp_path / "root", [*names, "Training/.x/0.png", *numbered(2, "elsewhere")], links)
    listing = listed(root)
    for place in (root, tar_of(root, tmp_path / "root.tar"), zip_of(root, tmp_path / "root.zip")):
        contents = of_tree(place)
        assert contents.classes == listing.classes == ("cat", "dog", "owl")
        for part, samples in (("train", listing.train), ("test", listing.test)):
            assert contents.labels[part].tolist() == [label for _, label in samples]
            assert [contents.name_of((part, n)) for n in range(len(samples))] == [
                path for path, _ in samples
            ]
        assert dict(contents.read({("train", 0), ("test", 1)})) == {
            ("train", 0): image(listing.train[0][0].replace("train", "Training")),
            ("test", 1): image(listing.test[1][0]),
        }
