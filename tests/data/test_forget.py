"""Forget requests and forget splits: a partition of the training set, and every refusal."""

import hashlib
import re

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mu.data.class_names import labels_of as mu_labels_of
from mu.data.forget_request import ForgetRequest
from mu.data.forget_split import ForgetSplit, indices_digest
from mu.data.lists import read_indices
from mu.data.splits import Split, SplitSpec, split
from mu.errors import UserError
from tests.helpers import laws, make_dataset, refused


@st.composite
def situations(draw):
    """A data set with at least two trained classes, and its split."""
    labels = draw(st.lists(st.integers(0, 4), min_size=8, max_size=60))
    dataset = make_dataset([*labels, 0, 1, 0, 1])
    share = draw(st.sampled_from([0.0, 0.1, 0.25]))
    size = draw(st.none() | st.integers(4, len(labels) // 2))
    parts = split(
        dataset.train.labels.numpy(), SplitSpec(draw(st.integers(0, 99)), share, train_size=size)
    )
    assume(len(np.unique(dataset.train.labels.numpy()[parts.train])) > 1)
    return dataset, parts


def cut(dataset, parts, text, seed=0):
    chosen = ForgetRequest.parse(text).select(dataset, parts, seed)
    return ForgetSplit.of(dataset, parts, chosen)


def labels_of(dataset, numbers):
    return dataset.train.labels.numpy()[numbers]


def assert_partition(found, parts):
    everything = np.concatenate([found.forget, found.retain])
    assert np.array_equal(np.sort(everything), np.sort(parts.train))
    assert np.array_equal(found.val, parts.val)
    assert found.forget.dtype == found.retain.dtype == np.int64
    assert np.all(np.diff(found.forget) > 0)
    assert np.all(np.diff(found.retain) > 0)


# --- what a request means -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "fields"),
    [
        ("class:3", {"kind": "class", "class_name": "3"}),
        ("class:3:200", {"kind": "class", "class_name": "3", "count": 200}),
        ("class:cat", {"kind": "class", "class_name": "cat"}),
        ("class:cat:7", {"kind": "class", "class_name": "cat", "count": 7}),
        ("class:0,3,7", {"kind": "class", "class_name": "0,3,7"}),
        ("class:0,cat:200", {"kind": "class", "class_name": "0,cat", "count": 200}),
        ("class:a:b", {"kind": "class", "class_name": "a:b"}),
        ("class:a:b:5", {"kind": "class", "class_name": "a:b", "count": 5}),
        ("random:450", {"kind": "random", "count": 450}),
        ("random:10%", {"kind": "random", "share": 0.1}),
        ("random:0.5%", {"kind": "random", "share": 0.005}),
        ("suspects:0a1b", {"kind": "suspects", "run_id": "0a1b"}),
        ("suspects:0a1b:30", {"kind": "suspects", "run_id": "0a1b", "count": 30}),
        ("vulnerable:30:0a1b", {"kind": "vulnerable", "run_id": "0a1b", "count": 30}),
    ],
)
def test_a_spelling_is_read_as_it_is_written(text, fields):
    request = ForgetRequest.parse(text)

    expected = {"class_name": None, "count": None, "share": None, "file": None, **fields}
    assert {name: getattr(request, name) for name in expected} == pytest.approx(expected)


@pytest.mark.parametrize(
    "text",
    [
        "", "class", "class:", "random", "random:", "indices", "indices:", "klass:3",
        "random:-5", "random:ten", "random:1e3", "random:4.5", "random:10 %", "random:%",
        "random:0", "random:0%", "random:100%", "random:101%", "random:-1%", "random:nan%",
        "class:3:0", "Class:3", "random:450:1", "suspects", "suspects:a:0", "suspects:a b",
        "vulnerable", "vulnerable:0a1b", "vulnerable:0:0a1b", "vulnerable:30:", "vulnerable:-1:ab",
    ],
)  # fmt: skip
def test_a_spelling_that_means_nothing_is_refused_and_repeated(text):
    with refused(repr(text)):
        ForgetRequest.parse(text)


@laws(100)
@given(text=st.text(max_size=20) | st.from_regex(r"(class|random|indices):[0-9:%.-]{0,8}"))
def test_any_text_is_a_request_or_a_refusal_in_one_line(text):
    answer = ""
    try:
        kind = ForgetRequest.parse(text).kind
    except UserError as error:
        kind, answer = text.partition(":")[0], str(error)

    assert kind == text.partition(":")[0]
    assert "\n" not in answer


# --- the partition, for every spelling ----------------------------------------------------


@laws(60)
@given(situation=situations(), data=st.data(), seed=st.integers(0, 99))
def test_several_classes_are_forgotten_as_a_whole_or_a_number_of_samples_together(
    situation, data, seed
):
    dataset, parts = situation
    trained = sorted(set(labels_of(dataset, parts.train).tolist()))
    chosen = data.draw(st.lists(st.sampled_from(trained), unique=True, min_size=1))
    assume(len(chosen) < len(trained))
    words = [data.draw(st.sampled_from([str(one), dataset.classes[one]])) for one in chosen]
    text = f"class:{','.join(words)}"

    whole = cut(dataset, parts, text, seed)
    count = data.draw(st.integers(1, len(whole.forget)))
    some = cut(dataset, parts, f"{text}:{count}", seed)

    for found in (whole, some):
        assert_partition(found, parts)
    assert whole.forgotten_classes == tuple(sorted(chosen))
    of_these = np.isin(labels_of(dataset, parts.train), chosen)
    assert np.array_equal(whole.forget, np.sort(parts.train[of_these]))
    assert len(some.forget) == count
    assert set(some.forget) <= set(whole.forget)
    gone = [one for one in sorted(chosen) if one not in labels_of(dataset, some.retain)]
    assert some.forgotten_classes == tuple(gone)


def test_samples_of_several_classes_are_drawn_from_all_of_them_together():
    dataset = make_dataset([0] * 40 + [1] * 20 + [2] * 20)
    parts = split(dataset.train.labels.numpy(), SplitSpec(val_share=0.0))
    drawn = [cut(dataset, parts, "class:0,1:30", seed).forget for seed in range(100)]

    share = np.mean([np.mean(labels_of(dataset, one) == 0) for one in drawn])
    assert share == pytest.approx(40 / 60, abs=0.03)
    assert {2} & set(labels_of(dataset, np.concatenate(drawn))) == set()


NAMES = ("tench, Tinca tinca", "cat", "Tinca tinca", "cat, big", "1", " a,b ", "cat, big, grey")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("tench, Tinca tinca", [0]),
        ("tench, Tinca tinca,1", [0, 4]),  # a name goes before a number
        ("cat,tench, Tinca tinca,3", [1, 0, 3]),
        ("Tinca tinca,tench, Tinca tinca", [2, 0]),
        ("cat, big", [3]),  # the longest name, not the class cat and another one
        ("cat, big, grey,cat, big,cat", [6, 3, 1]),
        ("cat,Tinca tinca", [1, 2]),
        (" 0 , 2 ", [0, 2]),
        (" a,b ", [5]),
    ],
)
def test_class_names_may_hold_commas(text, labels):
    dataset = make_dataset(range(len(NAMES)), names=NAMES)

    assert [label for _, label in mu_labels_of(text, dataset)] == labels


@pytest.mark.parametrize(
    ("text", "texts"),
    [
        ("class:0,6", ("there is no class '6'", "0 to 2")),
        ("class:0,,1", ("there is no class ''",)),
        ("class:0,1,", ("there is no class ''",)),
        ("class:1,0,class_1", ("class:1,0,class_1", "twice")),
        ("class:0,1:50", ("50 samples", "of class 0,1")),
        ("class:0,1,2", ("whole training set",)),
    ],
)
def test_lists_of_classes_that_do_not_fit_are_refused(text, texts):
    dataset = make_dataset(train=60)
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    with refused(*texts):
        cut(dataset, parts, text)


def test_a_class_of_a_list_of_which_nothing_is_left_is_named():
    dataset = make_dataset(train=60)
    whole = split(dataset.train.labels.numpy(), SplitSpec())
    left = whole.train[labels_of(dataset, whole.train) != 1]

    with refused("nothing of class class_1 is left"):
        cut(dataset, Split(left, whole.val, whole.unused), "class:0,class_1")


@laws(60)
@given(situation=situations(), data=st.data(), seed=st.integers(0, 99))
def test_a_random_forget_set_has_exactly_the_size_asked_for(situation, data, seed):
    dataset, parts = situation
    count = data.draw(st.integers(1, len(parts.train) - 1))

    found = cut(dataset, parts, f"random:{count}", seed)

    assert_partition(found, parts)
    assert len(found.forget) == count


@laws(60)
@given(situation=situations(), percent=st.integers(1, 800))
def test_a_random_share_is_one_of_the_training_set(situation, percent):
    dataset, parts = situation
    found = cut(dataset, parts, f"random:{percent / 10}%")

    assert_partition(found, parts)
    assert len(found.forget) == max(1, round(percent / 1000 * len(parts.train)))


WRITERS = {
    "npy": lambda path, numbers: np.save(path, numbers),
    "csv": lambda path, numbers: path.write_text(",".join(map(str, numbers)) + "\n"),
    "txt": lambda path, numbers: path.write_text("\n".join(map(str, numbers))),
}


@laws(60)
@given(situation=situations(), kind=st.sampled_from(sorted(WRITERS)), data=st.data())
def test_listed_samples_are_forgotten_and_no_others(situation, kind, data, tmp_path):
    dataset, parts = situation
    count = data.draw(st.integers(1, len(parts.train) - 1))
    numbers = np.array(data.draw(st.permutations(parts.train.tolist())))[:count]
    WRITERS[kind](tmp_path / f"list.{kind}", numbers)

    found = cut(dataset, parts, f"indices:{tmp_path / f'list.{kind}'}")

    assert_partition(found, parts)
    assert np.array_equal(found.forget, np.sort(numbers))


# --- draws --------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["random:12", "random:20%", "class:1:5"])
def test_draws_depend_on_the_seed_alone(text):
    dataset = make_dataset(train=90)
    other_pixels = make_dataset(train=90, seed=8)
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    first = cut(dataset, parts, text, seed=4)
    np.random.seed(1)
    again = cut(other_pixels, parts, text, seed=4)

    assert np.array_equal(first.forget, again.forget)
    assert first.fingerprint == again.fingerprint
    assert len({cut(dataset, parts, text, seed).fingerprint for seed in range(8)}) == 8


def test_every_sample_is_equally_likely_to_be_forgotten():
    dataset = make_dataset(train=50)
    parts = split(dataset.train.labels.numpy(), SplitSpec(val_share=0.2))
    drawn = np.zeros(50)
    for seed in range(400):
        drawn[cut(dataset, parts, "random:25%", seed).forget] += 1

    # 400 draws of probability 0.25 have mean 100 and deviation below 9.
    assert np.all(np.abs(drawn[parts.train] - 100) < 5 * 9)
    assert not drawn[parts.val].any()


# --- class names --------------------------------------------------------------------------


def test_a_class_name_may_hold_colons():
    dataset = make_dataset([0, 1] * 10, names=("cat:grey", "dog"))
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    assert cut(dataset, parts, "class:cat:grey").forgotten_classes == (0,)
    assert len(cut(dataset, parts, "class:cat:grey:4").forget) == 4


@pytest.mark.parametrize("name", ["3", "99", "-1", "unicorn", "1.0", "0x1", ":5", "1:-5", "²"])
def test_a_class_that_does_not_exist_is_refused_with_those_that_do(name):
    dataset = make_dataset(classes=3)
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    with refused(repr(name), "made_up", "0 to 2", "class_0, class_1, class_2"):
        cut(dataset, parts, f"class:{name}")


# --- too many -----------------------------------------------------------------------------


def test_more_samples_than_there_are_is_refused_with_both_numbers():
    dataset = make_dataset(train=60)
    parts = split(dataset.train.labels.numpy(), SplitSpec(val_share=0.1))

    with refused("55", "54"):
        cut(dataset, parts, "random:55")
    with refused("19", "18", "of class 2"):
        cut(dataset, parts, "class:2:19")


@pytest.mark.parametrize("text", ["random:54", "random:99.9%", "class:0"])
def test_the_whole_training_set_cannot_be_forgotten(text):
    classes = 1 if text.startswith("class") else 3
    dataset = make_dataset(train=60, classes=classes)
    parts = split(dataset.train.labels.numpy(), SplitSpec(val_share=0.1))

    with refused("whole training set"):
        cut(dataset, parts, text)


# --- index files --------------------------------------------------------------------------


@pytest.fixture
def situation():
    dataset = make_dataset(train=60)
    parts = split(dataset.train.labels.numpy(), SplitSpec(0, 0.1, 40))
    assert len(parts.val)
    assert len(parts.unused)
    return dataset, parts


def listed(situation, path):
    return cut(*situation, f"indices:{path}").forget


@pytest.mark.parametrize(
    "text", ["{0}\n{1}\n{2}", "{0},{1},{2},", "{0};\n{1};\n\n {2} \n", "{0}\t{1} {2}\r\n"]
)
def test_numbers_may_be_separated_by_commas_semicolons_and_spaces(situation, text, tmp_path):
    numbers = situation[1].train[[0, 5, 9]]
    (tmp_path / "list.txt").write_text(text.format(*numbers))

    assert listed(situation, tmp_path / "list.txt").tolist() == sorted(numbers)


@pytest.mark.parametrize("between", [",", ";", " ", "\t"])
def test_several_columns_are_refused_whose_second_may_be_labels(situation, between, tmp_path):
    first, second = situation[1].train[[0, 5]]
    (tmp_path / "list.csv").write_text(f"{first}{between}3\n{second}{between}7\n")

    with refused("line 1", "several columns", "one sample number a line"):
        listed(situation, tmp_path / "list.csv")


@pytest.mark.parametrize("dtype", ["u1", "i2", "<i4", ">i8", "u8"])
def test_an_npy_file_may_hold_any_whole_numbers(situation, dtype, tmp_path):
    numbers = situation[1].train[[7, 3]]
    np.save(tmp_path / "list.npy", numbers.astype(dtype))

    assert listed(situation, tmp_path / "list.npy").tolist() == sorted(numbers)


@pytest.mark.parametrize(
    ("array", "text"),
    [
        (np.array([1.0, 2.0]), "float64"),
        (np.array([[1, 2]]), "(1, 2)"),
        (np.array([True, False]), "bool"),
        (np.array(["1"]), "<U1"),
        (np.array(3), "()"),
    ],
)
def test_an_npy_file_of_anything_else_is_refused(situation, array, text, tmp_path):
    np.save(tmp_path / "list.npy", array)

    with refused("list.npy", text):
        listed(situation, tmp_path / "list.npy")


def test_an_npy_file_of_pickled_objects_is_never_unpickled(situation, tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    np.save(tmp_path / "list.npy", np.array([Bomb()], object), allow_pickle=True)

    with refused("list.npy"):
        listed(situation, tmp_path / "list.npy")


def damaged_npy(tmp_path, kind):
    path = tmp_path / "list.npy"
    np.save(path, np.arange(9))
    whole = path.read_bytes()
    if kind == "an archive":
        np.savez(tmp_path / "list", numbers=np.arange(3))
        (tmp_path / "list.npz").rename(path)
    else:
        contents = {"empty": b"", "text": b"1 2 3", "cut": whole[:-3], "half a header": whole[:20]}
        path.write_bytes(contents[kind])
    return path


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "half a header", "an archive"])
def test_a_damaged_npy_file_is_refused(situation, kind, tmp_path):
    with refused("list.npy"):
        listed(situation, damaged_npy(tmp_path, kind))


@pytest.mark.parametrize(
    ("content", "texts"),
    [
        (b"1\n2\nthree\n", ("line 3", "'three'")),
        (b"index\n1\n", ("line 1", "'index' is no sample number", "header, remove the line")),
        (b"1.0\n2.0\n", ("line 1", "'1.0' is no sample number", "without a point")),
        (b"1e3", ("line 1", "'1e3'")),
        (b"9" * 30, ("line 1", "999")),
        (b"\xff\xfe\x00", ("no text file",)),
        (b"", ("names no samples",)),
        (b" \n,;\n", ("names no samples",)),
        (b"-1", ("sample -1 does not exist", "0 to 59")),
        (b"60", ("sample 60 does not exist", "0 to 59")),
    ],
)
def test_a_text_file_of_anything_but_sample_numbers_is_refused(situation, content, texts, tmp_path):
    (tmp_path / "list.csv").write_bytes(content)

    with refused("list.csv", *texts):
        listed(situation, tmp_path / "list.csv")


def test_a_missing_file_and_a_folder_are_refused(situation, tmp_path):
    for path in (tmp_path / "none.npy", tmp_path):
        with refused(repr(str(path))):
            listed(situation, path)


def test_a_sample_named_twice_is_refused_by_its_number(situation, tmp_path):
    numbers = situation[1].train[[2, 4, 2, 2]]
    np.save(tmp_path / "list.npy", numbers)

    with refused(f"sample {numbers[0]} 3 times"):
        listed(situation, tmp_path / "list.npy")


def test_a_validation_sample_is_refused_by_its_number(situation, tmp_path):
    train, val = situation[1].train, situation[1].val
    np.save(tmp_path / "list.npy", [train[0], val[1], val[0]])

    with refused(f"2 samples ({val[0]}, {val[1]})", "in the validation part"):
        listed(situation, tmp_path / "list.npy")


def test_a_sample_that_was_never_trained_on_is_refused_by_its_number(situation, tmp_path):
    train, unused = situation[1].train, situation[1].unused
    np.save(tmp_path / "list.npy", [unused[0], train[0]])

    with refused(f"sample {unused[0]}", "not trained on"):
        listed(situation, tmp_path / "list.npy")


@laws(200)
@given(words=st.lists(st.sampled_from(["1", "-2", " ", ",", "x", "3.5", "\n", "07"]), max_size=8))
@example(words=["1", "\n", "1", " ", "1"])
@example(words=[",", "\n", "1", " ", "1"])
def test_any_text_is_a_list_of_numbers_or_a_refusal(words, tmp_path):
    (tmp_path / "list.txt").write_text(text := "".join(words))
    rows = [row for line in text.splitlines() if (row := re.findall(r"[^,;\s]+", line))]
    wanted = [word for row in rows for word in row]
    one_column = len(rows) < 2 or all(len(row) == 1 for row in rows)
    if one_column and all(re.fullmatch(r"-?\d+", word) for word in wanted):
        assert read_indices(tmp_path / "list.txt").tolist() == [int(word) for word in wanted]
    else:
        with refused("line"):
            read_indices(tmp_path / "list.txt")


# --- the split itself ---------------------------------------------------------------------


def test_parts_that_overlap_are_refused():
    dataset = make_dataset()

    with pytest.raises(ValueError, match="disjoint"):
        ForgetSplit(dataset, np.array([1, 2]), np.array([2, 3]), np.array([4]))
    with pytest.raises(ValueError, match="disjoint"):
        ForgetSplit(dataset, np.array([1, 2]), np.array([3]), np.array([2]))


def test_an_empty_forget_set_is_refused():
    with refused("empty"):
        ForgetSplit(make_dataset(), np.arange(0), np.arange(5), np.arange(0))


def test_a_forget_set_outside_the_training_part_is_refused():
    dataset = make_dataset()
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    with refused(f"sample {parts.val[0]}", "not trained on"):
        ForgetSplit.of(dataset, parts, parts.val[:1])


@laws()
@given(situation=situations(), data=st.data())
def test_a_forgotten_class_is_left_out_of_validation_and_test_and_nothing_else_is(situation, data):
    dataset, parts = situation
    count = data.draw(st.integers(1, len(parts.train) - 1))
    found = cut(dataset, parts, f"random:{count}", data.draw(st.integers(0, 99)))
    gone = set(labels_of(dataset, found.forget)) - set(labels_of(dataset, found.retain))

    assert set(found.forgotten_classes) == gone
    # Classes that were forgotten earlier, or of which nothing was trained on, are left out, too.
    gone = set(dataset.train.labels.tolist()) - set(labels_of(dataset, found.retain))
    test_labels = dataset.test.labels.numpy()
    left_out = [number for number, label in enumerate(test_labels) if label in gone]
    kept = [number for number, label in enumerate(test_labels) if label not in gone]
    assert found.test_set.indices.tolist() == kept
    assert found.test_forgotten_set.indices.tolist() == left_out
    kept_val = [number for number in parts.val if labels_of(dataset, number) not in gone]
    assert found.val_set.indices.tolist() == kept_val


def test_subsets_hold_the_pixels_and_labels_of_their_samples():
    dataset = make_dataset(train=30)
    parts = split(dataset.train.labels.numpy(), SplitSpec())
    found = cut(dataset, parts, "class:1")

    assert set(found.forget_set.labels.tolist()) == {1}
    assert set(found.retain_set.labels.tolist()) == {0, 2}
    assert found.forget_set.images is dataset.train
    assert found.forget_set.mean == dataset.mean


@laws()
@given(numbers=st.lists(st.integers(0, 2**40), unique=True, max_size=20), data=st.data())
def test_the_fingerprint_is_of_the_set_not_of_its_order(numbers, data):
    shuffled = np.array(data.draw(st.permutations(numbers)), np.int64)
    packed = b"".join(number.to_bytes(8, "little") for number in sorted(numbers))

    assert indices_digest(shuffled) == hashlib.sha256(packed).hexdigest()


def test_a_class_that_was_forgotten_earlier_stays_out_of_the_test_set():
    dataset = make_dataset(train=40, test=20, classes=4)
    labels = dataset.train.labels.numpy()
    rest = np.flatnonzero(labels != 1)  # class 1 was forgotten before
    split = ForgetSplit(dataset, rest[:5], rest[5:], np.array([], np.int64))
    assert split.forgotten_classes == ()
    assert 1 not in split.test_set.labels
    assert set(split.test_forgotten_set.labels.tolist()) == {1}
    assert len(split.test_set) + len(split.test_forgotten_set) == 20
