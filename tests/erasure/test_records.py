"""A request's list: what is read of it, what each record is, and every refusal."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit
from mu.data.manifest import Manifest, PartFiles
from mu.data.poison import Poison
from mu.data.ranges import to_ranges
from mu.erasure.records import (
    read_request,
    refuse_everything,
    refuse_nothing_to_do,
    resolve,
    trained_numbers,
)
from mu.spec import DataSpec, Spec
from tests.data.poisoned import make_poison
from tests.helpers import make_dataset, make_recipe, refused

NAMES = [
    "train/cat/000.png", "train/cat/001.png", "train/cat/a [1].png",
    "train/dog/000.png", "train/dog/deep/002.png", "train/dog/003.png",
]  # fmt: skip
BYTES = [b"a", b"b", b"c", b"d", b"b", b"f"]  # dog/deep/002.png is a copy of cat/001.png
TESTED = ["test/cat/0.png", "test/cat/000.png"]


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def data(files=True):
    dataset = make_dataset([0, 0, 0, 1, 1, 1], classes=2, names=("cat", "dog"), test=2)
    if not files:
        return dataset
    parts = (
        PartFiles(names, [sha256(one) for one in contents])
        for names, contents in ((NAMES, BYTES), (TESTED, [b"t", b"b"]))
    )
    return replace(dataset, manifest=Manifest("/pictures", *parts))


def spec_of(dataset, trained=(0, 1, 3, 4), removed=()):
    """A model trained on four images; of the others one is kept for validation."""
    recipe = make_recipe(dataset)
    recipe = replace(
        recipe,
        trained_on=to_ranges(np.array(trained)),
        split=recipe.split.replace(val_share=1 / 6),
    )
    return Spec(DataSpec.of(dataset), recipe, removed=removed)


@pytest.fixture
def request_of(tmp_path):
    def write(text, subject=None, name="request.csv"):
        (tmp_path / name).write_text(text, encoding="utf-8")
        return read_request(tmp_path / name, subject)

    return write


def texts(entries):
    return [(one.subject, one.text, one.line) for one in entries]


# --- the list -----------------------------------------------------------------------------


@pytest.mark.parametrize("header", ["subject,record", "record,subject", "Subject;sha256"])
def test_records_of_people(request_of, header):
    rows = {"subject": ("anna", "ben"), "record": ("x", "y"), "sha256": ("x", "y")}
    cut = ";" if ";" in header else ","
    lines = [cut.join(rows[one][n] for one in header.lower().split(cut)) for n in (0, 1)]
    text = "\n".join([header, *lines])
    assert texts(request_of(text)) == [("anna", "x", 2), ("ben", "y", 3)]
    assert texts(request_of(text, "ben")) == [("ben", "y", 3)]


@pytest.mark.parametrize("text", ["3\n5\n3\n", "3, 5, 3\n"])
def test_a_plain_list_of_numbers_says_what_stands_twice(request_of, text):
    first, second = request_of(text, name="list.txt")
    assert (first.text, second.text) == ("3", "5")
    assert first.again == ((3,) if "\n5" in text else (1,))
    assert second.again == ()


def test_other_lists(request_of, tmp_path):
    assert texts(request_of("cat/*\ndog/003.png\n", name="list.txt")) == [
        ("", "cat/*", 1), ("", "dog/003.png", 2)
    ]  # fmt: skip
    np.save(tmp_path / "list.npy", np.array([4, 2]), allow_pickle=False)
    assert texts(read_request(tmp_path / "list.npy")) == [("", "4", 1), ("", "2", 2)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ("names no records", "at least one")),
        ("subject,record\n", ("names no records",)),
        ("who,what\np1,x\n", ("columns who, what", "file")),
        ("subject,what\np1,x\n", ("columns subject, what", "file")),
        ("subject\np1\n", ("columns subject", "file")),
        ("subject,record\np1\n", ("line 2", "no column record")),
        ("subject,record\nanna,\n", ("line 2", "'anna'", "nothing is listed")),
        ("1 2\n3\n", ("line 1", "several columns")),
        ("1.5\n", ("'1.5' is no sample number",)),
    ],
)
def test_what_no_request_can_mean(request_of, text, said):
    with refused(*said):
        request_of(text)


def test_whose_records_are_not_known(request_of, tmp_path):
    with refused("unknown subject 'ana'", "did you mean anna?"):
        request_of("subject,record\nanna,x\nben,y\n", "ana")
    with refused("subject='anna'", "does not say whose", "column subject"):
        request_of("x\n", "anna", name="list.txt")
    with refused("no list of records", "none.csv"):
        read_request(tmp_path / "none.csv")
    with refused("folder"):
        read_request(tmp_path)


# --- what each record is ------------------------------------------------------------------


@pytest.fixture
def found(request_of):
    """What the lines of a list are, as (number, file, status)."""

    def resolved(*lines, dataset=None, removed=()):
        dataset = dataset or data()
        entries = request_of("\n".join(lines), name="list.txt")
        records = resolve(entries, dataset, spec_of(dataset, removed=removed))
        return [(one.number, one.file, one.status) for one in records]

    return resolved


def test_every_status(found):
    dataset = data()
    split = spec_of(dataset).split(dataset)
    (kept,), (left,) = split.val.tolist(), split.unused.tolist()
    names = [NAMES[0], NAMES[kept], NAMES[left], TESTED[0], "cat/9.png", NAMES[1]]
    assert found(*names, removed=(1,)) == [
        (0, NAMES[0], "trained"),
        (kept, NAMES[kept], "validation"),
        (left, NAMES[left], "left_out"),
        (None, TESTED[0], "test"),
        (None, None, "unknown"),
        (1, NAMES[1], "forgotten"),
    ]


def test_every_way_to_name_an_image(found):
    one = (3, NAMES[3], "trained")
    for text in ("3", NAMES[3], "dog/000.png", f"/pictures/{NAMES[3]}", sha256(b"d").upper()):
        assert found(text) == [one]
    assert [number for number, _, _ in found("dog/*")] == [3, 4, 5]
    assert found(sha256(b"b")) == [
        (1, NAMES[1], "trained"), (4, NAMES[4], "trained"), (None, TESTED[1], "test"),
    ]  # fmt: skip


def test_what_names_no_image_or_several_is_said_and_nothing_is_raised(request_of):
    dataset = data()
    lines = ["6", "-1", "000.png", "bird/*", "0" * 64]
    records = resolve(request_of("\n".join(lines), name="l.txt"), dataset, spec_of(dataset))
    assert {one.status for one in records} == {"unknown"}
    assert [one.note for one in records] == [
        "numbers go from 0 to 5",
        "numbers go from 0 to 5",
        f"the name of 2 images ({NAMES[0]}, {NAMES[3]}); write more of the path",
        "no image is called so",
        "no image of made_up has this sha256",
    ]


def test_one_image_named_in_two_ways_is_one_record_of_each_person(request_of):
    entries = request_of("subject,record\nanna,3\nanna,dog/000.png\nanna,3\nben,3\n")
    records = resolve(entries, data(), spec_of(data()))
    assert [(one.subject, one.number) for one in records] == [("anna", 3), ("ben", 3)]
    assert records[0].note == "listed twice (line 4); listed twice (line 3)"
    assert records[1].note == ""
    assert trained_numbers(records).tolist() == [3]


def test_images_without_files_are_found_by_their_pixels(found):
    dataset = data(files=False)
    pixels = dataset.train.pixels.numpy()
    assert found(sha256(pixels[1].tobytes()), dataset=dataset) == [(1, None, "trained")]
    tested = sha256(dataset.test.pixels[1].numpy().tobytes())
    assert found(tested, "cat.png", dataset=dataset) == [
        (None, None, "test"), (None, None, "unknown")
    ]  # fmt: skip


def test_a_person_knows_her_image_as_it_was_before_a_trigger_was_planted(found):
    clean = make_dataset(train=60)
    poisoned = make_poison((1, 5)).apply(clean)
    assert isinstance(poisoned.planted, Poison)
    digest = sha256(clean.train.pixels[5].numpy().tobytes())
    assert digest != sha256(poisoned.train.pixels[5].numpy().tobytes())
    assert [number for number, _, _ in found(digest, dataset=poisoned)] == [5]


def test_other_data_is_refused(request_of):
    dataset = data()
    with refused("not what the original was trained on"):
        resolve(request_of("1\n", name="l.txt"), make_dataset(), spec_of(dataset))


# --- what can be done ---------------------------------------------------------------------


def test_nothing_to_do_counts_what_there_is(request_of):
    dataset = data()
    entries = request_of(f"{TESTED[0]}\nx\ny\n1\n", name="l.txt")
    records = resolve(entries, dataset, spec_of(dataset, removed=(1,)))
    with refused(
        "none of the 4 records (1 test, 1 forgotten, 2 unknown)", "no evidence in the store"
    ):
        refuse_nothing_to_do(records)
    with refused("check the list"):
        refuse_nothing_to_do([one for one in records if one.status != "forgotten"])
    refuse_nothing_to_do(resolve(entries, dataset, spec_of(dataset)))


def test_a_person_may_be_all_of_a_class_but_not_everyone(request_of):
    dataset = data()
    spec = spec_of(dataset)
    split = spec.split(dataset)
    numbers = trained_numbers(resolve(request_of("cat/*\n", name="l.txt"), dataset, spec))
    refuse_everything(numbers, split)
    assert ForgetSplit.of(dataset, split, numbers).forgotten_classes == (0,)
    everyone = trained_numbers(resolve(request_of("*.png\n", name="l.txt"), dataset, spec))
    with refused("all 4 images", "nothing would be retained", "versions instead"):
        refuse_everything(everyone, split)


def test_a_forget_set_of_files_still_takes_no_numbers(tmp_path):
    (tmp_path / "list.txt").write_text("1\n")
    with refused("no training image is called '1'"):
        dataset = data()
        split = spec_of(dataset).split(dataset)
        ForgetRequest.parse(f"files:{tmp_path / 'list.txt'}").cut(dataset, split, 0)
