"""Which folders are parts and which are classes: the layouts of published sets, and odd ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mu.data.files.folder import Entry, Kind
from mu.data.files.listing import Listing
from mu.data.files.names import is_image
from mu.data.files.parts import listing_of
from mu.data.files.tree import ImageTree
from mu.errors import UserError
from tests.data.files.trees import listed, numbered, paths, plant, tar_of, zip_of
from tests.helpers import laws, refused

CLASSES = ("cat", "dog")


def both(train: str = "train", test: str = "test", classes: Iterable[str] = CLASSES) -> list[str]:
    names = [*classes]
    return [
        *numbered(3, *(f"{train}/{name}" for name in names)),
        *numbered(1, *(f"{test}/{name}" for name in names)),
    ]


def check(found: Listing, train: str, test: str, classes: tuple[str, ...] = CLASSES) -> None:
    """Three images of each class in ``train``, one in ``test``; every other one is named."""
    assert found.classes == classes
    expected = numbered(3, *(f"{train}/{name}" for name in classes))
    assert paths(found) == (expected, numbered(1, *(f"{test}/{name}" for name in classes)))
    assert [label for _, label in found.train] == [n for n, _ in enumerate(classes) for _ in "abc"]
    assert [label for _, label in found.test] == [*range(len(classes))]
    assert found.places == (train, test)


# --- parts under their usual names --------------------------------------------------------

PARTS = [
    ("train", "test"),
    ("TRAIN", "TEST"),
    ("Training", "Testing"),
    ("Train", "Validation"),
    ("training", "valid"),
    ("train", "val"),
    ("train_set", "test_set"),
    ("training_set", "test_set"),
    ("TrainSet", "TestSet"),
    ("Training Images", "Testing Images"),
    ("seg_train", "seg_test"),
    ("seg_train/seg_train", "seg_test/seg_test"),
    ("Final_Training/Images", "Final_Test/Images"),
    ("train/train", "test/test"),
    ("train/images", "test/images"),
    ("cars_train", "cars_test"),
    ("train-data", "eval-data"),
    ("train2017", "val2017"),
    ("data/train", "data/test"),
    ("images/Train", "images/Test"),
    ("chest_xray/train", "chest_xray/val"),
    ("archive/set/training", "archive/set/dev"),
]


@pytest.mark.parametrize(("train", "test"), PARTS)
def test_parts_are_known_by_their_usual_names(train: str, test: str, tmp_path: Path) -> None:
    check(listed(plant(tmp_path, both(train, test))), train, test)


@pytest.mark.parametrize("pack", [tar_of, zip_of], ids=["tar", "zip"])
def test_a_folder_around_all_is_seen_through(pack, tmp_path: Path) -> None:
    root = plant(tmp_path / "root", [*both("Training", "Testing"), "README.md"])
    place = pack(root, tmp_path / "a", "my set/" if pack is zip_of else "my set")

    check(listed(place), "my set/Training", "my set/Testing")


@pytest.mark.parametrize("around", ["", "data/", "images/", "2750/", "a/b/c/"])
def test_class_folders_alone_may_lie_in_other_folders(around: str, tmp_path: Path) -> None:
    root = plant(tmp_path, numbered(11, f"{around}cat", f"{around}dog"))
    found = listed(root)

    assert found.classes == CLASSES
    assert paths(found)[1] == [f"{around}{one}/{n}.png" for one in CLASSES for n in ("04", "09")]
    assert len(found.train) == 18
    place = f" in {around}" if around else ""
    assert str(found) == (
        f"18 training images{place}, 4 test images{place} (every fifth of a class), "
        "2 classes: cat, dog"
    )


def test_of_test_and_validation_the_former_is_taken_and_the_latter_named(tmp_path: Path) -> None:
    extra = [*numbered(2, "valid/cat", "valid/dog"), *numbered(3, "seg_pred/seg_pred")]
    found = listed(plant(tmp_path, [*both(), *extra]))

    check(found, "train", "test")
    assert found.skipped == {
        "images of a further part": sorted(extra[:4]),
        "images without labels": extra[4:],
    }
    assert "left out: 3 images without labels (seg_pred/seg_pred/00.png, ...)" in str(found)


def test_a_test_part_without_labels_gives_way_to_validation(tmp_path: Path) -> None:
    """As ImageNet and many competitions come."""
    unlabelled = numbered(4, "test", "test/images")
    found = listed(plant(tmp_path, [*both(test="val"), *unlabelled]))

    check(found, "train", "val")
    assert found.skipped == {"images without labels": sorted(unlabelled)}


def test_class_folders_with_folders_inside_stay_classes(tmp_path: Path) -> None:
    inside = [f"{name}/{one}" for name in CLASSES for one in ("images/0.png", "2024/may/1.png")]
    found = listed(plant(tmp_path, [f"train/{one}" for one in inside] + numbered(1, "val/cat")))

    assert found.classes == CLASSES
    assert len(found.train) == 4


@pytest.mark.parametrize(
    "classes",
    [
        ("bus", "car", "train"),  # vehicles
        ("invalid", "valid"),
        ("mask", "no_mask"),
        ("label", "no label"),
        ("photos", "sketches"),
        ("data", "text"),
        ("Trainer", "tester", "validated"),
        ("pretrain", "rain"),
        ("0", "1"),
    ],
)
def test_classes_may_have_names_that_resemble_parts(
    classes: tuple[str, ...], tmp_path: Path
) -> None:
    alone = plant(tmp_path / "alone", numbered(5, *classes))
    assert listed(alone).classes == tuple(sorted(classes))

    parts = plant(tmp_path / "parts", both(classes=sorted(classes)))
    check(listed(parts), "train", "test", tuple(sorted(classes)))


# --- what is left out is named ------------------------------------------------------------


def test_every_image_is_in_a_part_or_named(tmp_path: Path) -> None:
    noise = ["logo.png", "train/loose.png", "test/loose.png", "other/dogs/0.png", "x/.y/z.png"]
    found = listed(plant(tmp_path, [*both(), *noise, "train/owl/notes.txt"]))

    check(found, "train", "test")
    assert found.skipped == {
        "files that are no images": ["train/owl/notes.txt"],
        "hidden or service files": ["x/.y/z.png"],
        "images that lie outside of the class folders": [
            "logo.png", "test/loose.png", "train/loose.png",
        ],
        "images in folders beside the parts": ["other/dogs/0.png"],
        "folders without images beside those of the classes": ["train/owl"],
    }  # fmt: skip


def test_annotations_beside_a_folder_of_class_folders_are_named(tmp_path: Path) -> None:
    notes = numbered(2, "annotations/masks", "labels/cat")
    found = listed(plant(tmp_path, [*numbered(5, "images/cat", "images/dog"), *notes]))

    assert found.classes == CLASSES
    assert found.places == ("images", "images")
    assert found.skipped == {"images in folders of annotations": notes}


# --- published archives -------------------------------------------------------------------

# Their files, the folder of their class folders, and the classes.
PUBLISHED = {
    "cats and dogs of Microsoft": (
        ["PetImages/Cat/Thumbs.db", "readme[1].txt"], "PetImages", ("Cat", "Dog"),
    ),
    "Caltech 101": (
        ["caltech-101/Annotations/ant/annotation_0001.mat"], "caltech-101/101_ObjectCategories",
        ("BACKGROUND_Google", "accordion", "ant"),
    ),
    "EuroSAT": ([], "EuroSAT_RGB", ("AnnualCrop", "Forest")),
    "Food 101": (
        ["food-101/meta/train.txt", "food-101/README.txt"], "food-101/images",
        ("apple_pie", "waffles"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PUBLISHED)
def test_class_folders_as_they_are_published(kind: str, tmp_path: Path) -> None:
    noise, top, classes = PUBLISHED[kind]
    names = numbered(5, *(f"{top}/{one}" for one in classes), end=".jpg")
    found = listed(plant(tmp_path, [*names, *noise]))
    assert found.classes == classes
    assert found.places == (top, top)


def test_gtsrb_as_published_names_what_reads_it(tmp_path: Path) -> None:
    train = numbered(2, "GTSRB/Final_Training/Images/00000", "GTSRB/Final_Training/Images/00001",
                     end=".ppm")  # fmt: skip
    test = numbered(3, "GTSRB/Final_Test/Images", end=".ppm")
    csv = ["GTSRB/Final_Training/Images/00000/GT-00000.csv", "GTSRB/Final_Test/Images/GT.csv"]
    with refused("GTSRB/Final_Test/Images/ in", "3 images in no class folders", "dataset=gtsrb"):
        listed(plant(tmp_path / "both", [*train, *test, *csv]))
    with refused("GTSRB/ in", "has Final_Training/ but neither test/ nor val/", "dataset=gtsrb"):
        listed(plant(tmp_path / "one", [*train, *csv]))
    sorted_test = numbered(1, "GTSRB/Final_Test/Images/00001", end=".ppm")
    assert listed(plant(tmp_path / "sorted", [*train, *sorted_test])).classes == ("00000", "00001")


def test_oxford_pets_as_published_names_what_reads_it(tmp_path: Path) -> None:
    names = [*numbered(3, "images", end=".jpg"), *numbered(3, "annotations/trimaps")]
    for top in ("", "oxford-iiit-pet/"):
        with refused("annotations", "images", "no class", "dataset=oxford_pets"):
            listed(plant(tmp_path / (top or "top"), [f"{top}{one}" for one in names]))
    with refused("images/ in", "3 images in no class folders", "'images/00.jpg'"):
        listed(plant(tmp_path / "alone", names[:3]))


def test_tiny_imagenet_as_published_names_what_reads_it(tmp_path: Path) -> None:
    top = "tiny-imagenet-200"
    names = numbered(2, *(f"{top}/train/{one}/images" for one in ("n01443537", "n01742172")))
    names += numbered(2, f"{top}/val/images", f"{top}/test/images")
    with refused("images in no class folders", "dataset=tiny_imagenet"):
        listed(plant(tmp_path, [*names, f"{top}/wnids.txt", f"{top}/val/val_annotations.txt"]))


# Trees that Kaggle's archives hold twice, one inside the other.
def test_a_copy_inside_the_tree_is_no_class(tmp_path: Path) -> None:
    twice = [*both(), *both("chest_xray/train", "chest_xray/test")]
    found = listed(plant(tmp_path / "parts", twice))
    check(found, "train", "test")
    assert len(found.skipped["images in folders beside the parts"]) == 8

    brain = numbered(5, "no", "yes", "brain_tumor_dataset/no", "brain_tumor_dataset/yes")
    with refused("brain_tumor_dataset/ in", "looks like a copy", "remove it"):
        listed(plant(tmp_path / "classes", brain))


# --- refused: what was seen, and what to do -----------------------------------------------

REFUSED = {
    "nothing": ([], ("no class folders with images",)),
    "an archive in a folder": (["images.zip"], ("no class folders with images (but",
                                                "1 file that is no image (.zip)")),
    "nothing that can be decoded": (numbered(3, "cat", "dog", end=".heic"),
                                    ("(but 6 images of formats that cannot be decoded (.heic))",)),
    "one class": (numbered(3, "cat"), ("one class only: cat", "another class")),
    "one class in train": ([*numbered(3, "train/cat"), *numbered(1, "test/cat")],
                           ("train/ in", "one class only: cat")),
    "flat": (["a.png", "b.png", "c.png"], ("3 images in no class folders", "'a.png' and 'b.png'")),
    "flat beside one folder": ([*numbered(9, "."), *numbered(2, "old/cat", "old/dog")],
                               ("9 images in no class folders",)),
    "no test": (numbered(3, "train/cat", "train/dog"),
                ("train/ but neither test/ nor val/", "name train/ itself")),
    "no train": (numbered(3, "test/cat", "test/dog", "val/cat", "val/dog"),
                 ("has test/, val/ but no train/",)),
    "flat parts": ([*numbered(3, "train", "test")], ("train/ in", "3 images in no class folders")),
    "flat test": ([*numbered(3, "train/cat", "train/dog", "test")],
                  ("test/ in", "3 images in no class folders", "name train/ alone")),
    "parts and classes": ([*numbered(3, "train/cat", "train/dog"), *numbered(3, "cat", "dog")],
                          ("holds train/ beside cat, dog", "not clear")),
    "parts and classes of the same names": ([*both(), *numbered(3, "cat", "dog")],
                                            ("holds cat, dog beside parts", "so does train/")),
    "test beside classes": (numbered(3, "cat", "dog", "test"),
                            ("holds test/ beside cat, dog", "not clear", "rename")),
    "a part beside a folder of images": (numbered(3, "train", "images"), ("holds train/ beside",)),
    "validation beside classes": (numbered(3, "cat", "dog", "val"), ("holds val/ beside",)),
    "unlabelled beside classes": (numbered(3, "cat", "dog", "unlabeled"), ("unlabeled/ beside",)),
    "two training parts": ([*both(), *numbered(2, "training/cat", "training/dog")],
                           ("train/ and training/", "which one is the train part")),
    "two pairs of parts": ([*both("trainA", "testA"), *both("trainB", "testB")],
                           ("trainA/ and trainB/", "which one is the train part")),
    "two spellings": ([*both("train", "TEST"), *numbered(2, "test/cat")], ("TEST/ and test/",)),
    "images and annotations": (numbered(3, "images", "annotations"),
                               ("annotations, images", "annotations/ looks like annotations")),
    "images and masks": (numbered(3, "imgs", "masks"), ("masks/ looks like annotations",)),
    "images and thumbs": (numbered(3, "images", "thumbs"), ("thumbs/ looks like annotations",)),
    "the same below train": ([*both(classes=("images", "labels"))], ("labels/ looks like",)),
    "segmentations of the same classes": (numbered(3, "CUB/images/a", "CUB/images/b",
                                                   "segmentations/a", "segmentations/b"),
                                          ("segmentations/ looks like annotations",)),
    "masks in classes": (numbered(3, "Covid/images", "Covid/masks", "No/images", "No/masks"),
                         ("Covid/", "masks/ looks like annotations")),
    "parts in classes": (numbered(3, "cat/train", "cat/test", "dog/train", "dog/test"),
                         ("cat/ in", "holds test/ and train/", "no class")),
    "a set beside pictures": ([*both("data/train", "data/test"), *numbered(2, "docs")],
                              ("data/ in", "holds test/ and train/", "data_dir")),
    "editions": (numbered(2, *(f"{a}/{b}" for a in ("color", "grey") for b in ("p", "q", "r"))),
                 ("color, grey", "all hold the same 3 folders (p, q, r)")),
    "a class in another case": ([*both(), *numbered(1, "test/Cat")],
                                ("lacks: Cat", "differ in case or Unicode form")),
    "a class in another Unicode form": ([*both(classes=("caf\u00e9", "tea")),
                                         *numbered(1, "test/cafe\u0301")],
                                        ("differ in case or Unicode form",)),
    "cats and dogs of Kaggle": ([*(f"train/{one}.{n}.jpg" for one in CLASSES for n in range(4)),
                                 *numbered(3, "test1", end=".jpg")],
                                ("train/ in", "8 images in no class folders",
                                 "'train/cat.0.jpg' and 'train/cat.1.jpg'",
                                 "put the images of each class into a folder")),
    "flowers 102": ([*numbered(3, "jpg", end=".jpg"), "imagelabels.mat", "setid.mat"],
                    ("jpg/ in", "3 images in no class folders", "dataset=flowers102")),
    "unknown class": ([*both(), *numbered(1, "test/owl", "test/elk")],
                      ("test/ in", "has classes that train/ lacks: elk, owl",)),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_not_clear_is_refused(kind: str, tmp_path: Path) -> None:
    names, texts = REFUSED[kind]
    root = plant(tmp_path / "root", names)

    root.mkdir(exist_ok=True)
    with refused(str(root), *texts):
        listed(root)
    texts = [text for text in texts if not text.startswith("name train/")]  # of a folder alone
    with refused(str(tmp_path / "a.tar"), *texts):
        listed(tar_of(root, tmp_path / "a.tar"))


FOLDERS = st.lists(
    st.sampled_from([
        "train", "Test", "val", "testing", "seg_train", "images", "annotations", "masks", "data",
        "cat", "dog", "owl", "2024", ".hidden", "@eaDir", "unlabeled", "trainA", "testA",
    ]),
    max_size=3,
)  # fmt: skip
NAMES = st.tuples(FOLDERS, st.sampled_from(["0.png", "1.png", "2.tif", "x.heic", "n.txt"])).map(
    lambda found: "/".join([*found[0], found[1]])
)


@laws(200)
@given(names=st.sets(NAMES, max_size=14))
def test_any_tree_is_refused_or_each_image_is_in_one_place(names: set[str]) -> None:
    """In memory, as thousands of folders would take minutes; real ones are above."""
    tree = Planted(sorted(names))
    try:
        found = listing_of(tree)
    except UserError:
        return
    train, test = paths(found)
    left = [path for reason in found.skipped for path in found.skipped[reason]]
    files = [path for path in left if path in names]
    hidden = {one for one in names if {".hidden", "@eaDir"} & {*one.split("/")[:-1]}}
    expected = [one for one in names if one not in hidden or is_image(one)]
    assert sorted([*train, *test, *files]) == sorted(expected), "each file once"
    assert {label for _, label in found.train} == {*range(len(found.classes))}
    for path, label in [*found.train, *found.test]:
        assert found.classes[label] in path.split("/")
    assert len(found.classes) >= 2


class Planted(ImageTree):
    """A tree of these names alone."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(Path("/nowhere/at/all.tar"))
        self._storage = SimpleNamespace(
            identity=str, entries=partial(_entries, names), outside=[], read=None
        )  # type: ignore[assignment]


def _entries(names: list[str], folder: str) -> Iterator[Entry]:
    prefix = f"{folder}/" if folder else ""
    seen = {}
    for name in names:
        if name.startswith(prefix):
            first, inside, _ = name[len(prefix) :].partition("/")
            seen[first] = Entry(first, Kind.FOLDER if inside else Kind.FILE, f"{prefix}{first}")
    yield from seen.values()
