"""Planted wrong labels: how many, which, for whom, what a spec keeps of them, every refusal."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st

from mu.checkpoints import DataSpec, Spec
from mu.data import load_data
from mu.data.files.decode import decode_rgb
from mu.data.forget_request import ForgetRequest
from mu.data.planted import PlantedDataset
from mu.data.splits import SplitSpec, split
from mu.data.store.builder import build
from mu.data.store.sources import of_tree
from mu.data.wrong_label_options import WrongLabelOptions
from mu.data.wrong_labels import WrongLabels, spelled
from tests.data.poisoned import SEEDS, make_poison
from tests.helpers import encoded, laws, make_dataset, make_recipe, refused, write_tree

SPLIT = SplitSpec(split_seed=1, val_share=0.2, train_size=60)
DATASET = make_dataset(train=90, test=20, classes=3)
PARTS = split(DATASET.train.labels.numpy(), SPLIT)  # 20 training samples of each class


def choose(dataset=DATASET, parts=PARTS, seed=0, **options):
    return WrongLabels.choose(WrongLabelOptions.of(options), dataset, parts, seed)


def spec_of(dataset):
    return Spec(DataSpec.of(dataset), replace(make_recipe(dataset), split=SPLIT))


def changed(dataset, planted):
    """Sample numbers, published and planted labels of what differs, one by one."""
    pairs = zip(dataset.train.labels.tolist(), planted.train.labels.tolist(), strict=True)
    return [(number, one, other) for number, (one, other) in enumerate(pairs) if one != other]


# --- what is planted ----------------------------------------------------------------------


@laws(60)
@given(
    labels=st.lists(st.integers(0, 4), min_size=12, max_size=60),
    share=st.sampled_from([0.0, 0.2]),
    seed=SEEDS,
    data=st.data(),
)
def test_exactly_so_many_training_samples_have_a_label_that_is_not_theirs(
    labels, share, seed, data
):
    dataset = make_dataset(labels, classes=5)
    parts = split(dataset.train.labels.numpy(), SplitSpec(seed, share))
    there = {labels[number] for number in parts.train}
    assume(len(there) > 1)
    count = data.draw(st.integers(1, len(parts.train) - 1))

    found = choose(dataset, parts, seed, canaries=count)
    planted = found.apply(dataset)

    differ = changed(dataset, planted)
    assert len(differ) == count
    assert [number for number, _, _ in differ] == list(found.indices) == planted.poisoned.tolist()
    assert {number for number, _, _ in differ} <= set(parts.train.tolist())
    assert {label for _, _, label in differ} <= there
    assert torch.equal(planted.train.pixels, dataset.train.pixels)
    assert planted.test is dataset.test
    assert dataset.train.labels.tolist() == [*labels], "published labels never change"
    assert torch.equal(planted.published_labels, dataset.train.labels)
    assert planted.fingerprint == dataset.fingerprint


def test_canaries_are_the_samples_of_random_forgetting_and_every_wrong_label_is_as_likely():
    dataset = make_dataset(train=4000, classes=4)
    parts = split(dataset.train.labels.numpy(), SplitSpec(3))

    found = choose(dataset, parts, 3, canaries=3000)

    expected = ForgetRequest.parse("random:3000").select(dataset, parts, 3)
    assert found.indices == tuple(expected.tolist())
    pairs = [(one, other) for _, one, other in changed(dataset, found.apply(dataset))]
    counts = [pairs.count((one, other)) for one in range(4) for other in range(4) if one != other]
    # 12 cells of 250; four standard deviations of a binomial are 61.
    assert all(abs(count - 250) < 61 for count in counts)


@laws(40)
@given(
    pair=st.lists(st.integers(0, 2), min_size=2, max_size=2, unique=True),
    count=st.integers(1, 19),
    seed=SEEDS,
)
def test_the_labels_of_so_many_of_each_of_two_classes_are_exchanged(pair, count, seed):
    one, other = pair

    found = choose(confusion=f"class_{one},{other}:{count}", seed=seed)
    planted = found.apply(DATASET)

    low, high = sorted(pair)
    assert found.forget == f"confusion:{low},{high}:{count}"
    assert found.pair == (low, high)
    differ = changed(DATASET, planted)
    assert sorted((a, b) for _, a, b in differ) == [(low, high)] * count + [(high, low)] * count
    assert {number for number, _, _ in differ} <= set(PARTS.train.tolist())
    for label in pair:  # the network still learns what the classes are
        assert int((planted.train.labels[PARTS.train] == label).sum()) == 20


@pytest.mark.parametrize("options", [{"canaries": 12}, {"confusion": "0,2:7"}])
def test_the_same_seed_draws_the_same_and_others_draw_others(options):
    assert choose(seed=4, **options) == choose(seed=4, **options)
    draws = {choose(seed=seed, **options).indices for seed in range(6)}
    assert len(draws) == 6
    assert {len(one) for one in draws} == {len(choose(**options).indices)}
    fingerprints = {choose(seed=seed, **options).fingerprint for seed in range(6)}
    assert len(fingerprints) == 6


def test_nothing_is_planted_unless_it_is_wanted():
    assert choose() is None
    assert choose(canaries=None, confusion=None) is None


# --- what is forgotten of it --------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "forget", "count"),
    [
        ({"canaries": 12}, "canary:12", 12),
        ({"confusion": "0,2:7"}, "confusion:2,class_0:7", 14),
    ],
)
def test_forgetting_takes_all_of_it_and_nothing_else(options, forget, count):
    planted = choose(seed=1, **options).apply(DATASET)
    spec = spec_of(planted)
    true, given_label = planted.published_labels.numpy(), planted.train.labels.numpy()

    found = spec.forget_split(planted, ForgetRequest.parse(forget))

    assert len(found.forget) == count
    assert found.forget.tolist() == list(planted.planted.indices)
    assert found.mislabelled.all()
    assert found.forget_set.labels.tolist() == given_label[found.forget].tolist()
    assert (given_label[found.retain] == true[found.retain]).all(), "what an oracle sees is right"
    assert (given_label[found.val] == true[found.val]).all()
    assert sorted([*found.forget, *found.retain]) == PARTS.train.tolist()
    rest = spec.without(found.forget[:4], "ft").forget_split(planted, ForgetRequest.parse(forget))
    assert rest.forget.tolist() == found.forget[4:].tolist()
    with refused("already"):
        spec.without(found.forget, "ft").forget_split(planted, ForgetRequest.parse(forget))


@pytest.mark.parametrize(
    ("planted", "forget", "said"),
    [
        (None, "canary:12", ["no planted labels", "canaries=12"]),
        (None, "confusion:0,2:7", ["no planted labels", "confusion=0,2:7"]),
        ({"canaries": 11}, "canary:12", ["canary:11", "canaries=12"]),
        ({"canaries": 7}, "confusion:0,2:7", ["canary:7", "confusion=0,2:7"]),
        ({"confusion": "0,1:7"}, "confusion:0,2:7", ["confusion:0,1:7"]),
        ({"confusion": "0,1:7"}, "canary:7", ["confusion:0,1:7", "canaries=7"]),
        ({"canaries": 7}, "poison", ["was not poisoned"]),
        ("poison", "canary:3", ["(poison:", "canaries=3"]),
    ],
)
def test_what_was_not_planted_cannot_be_forgotten(planted, forget, said):
    dataset = DATASET
    if planted == "poison":
        dataset = make_poison().apply(DATASET)
    elif planted:
        dataset = choose(**planted).apply(DATASET)
    with refused(f"forget={forget}", *said):
        ForgetRequest.parse(forget).select(dataset, PARTS, 0)


@pytest.mark.parametrize(
    "text", ["canary", "canary:", "canary:0", "canary:x", "confusion:0,1", "confusion::3"]
)
def test_a_misspelt_request_is_refused(text):
    with refused(f"forget={text!r}"):
        ForgetRequest.parse(text)


@pytest.mark.parametrize("text", ["canary:3", "confusion:0,1:3"])
def test_poison_is_not_chosen_by_what_was_planted(text):
    with refused(f"poison={text!r} is not understood"):
        ForgetRequest.parse(text, option="poison")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"canaries": 0}, ["canaries=0"]),
        ({"canaries": 61}, ["canaries", "61", "60"]),
        ({"canaries": 60}, ["canaries=60", "all training samples"]),
        ({"confusion": "0,1:20"}, ["confusion=0,1:20", "'class_0'", "20"]),
        ({"confusion": "0:5"}, ["confusion=0:5", "two classes"]),
        ({"confusion": "0,0:5"}, ["two classes"]),
        ({"confusion": "0,1,2:5"}, ["two classes"]),
        ({"confusion": "0,7:5"}, ["'7'", "class"]),
        ({"confusion": "0,1"}, ["confusion='0,1'", "3,5:20"]),
        ({"confusion": "0,1:0"}, ["confusion='0,1:0'", "3,5:20"]),
        ({"canaries": 3, "confusion": "0,1:5"}, ["canaries=3", "confusion=0,1:5"]),
    ],
)
def test_what_cannot_be_planted_is_refused(options, said):
    with refused(*said):
        choose(**options)


def test_one_class_has_no_wrong_label():
    dataset = make_dataset([0] * 30, classes=3)
    parts = split(dataset.train.labels.numpy(), SplitSpec())
    with refused("canaries=3", "two classes"):
        choose(dataset, parts, canaries=3)


# --- what a spec keeps --------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"canaries": 12}, {"confusion": "0,2:7"}])
def test_a_spec_plants_the_same_again(options):
    planted = choose(seed=1, **options).apply(DATASET)
    spec = spec_of(planted)

    found = Spec.from_json(spec.to_json({}))[0]

    assert found == spec
    assert found.to_json({}) == spec.to_json({})
    assert found.settings() == {**spec_of(DATASET).settings(), **options}
    bound = found.data.bind(DATASET)
    assert isinstance(bound, PlantedDataset)
    assert torch.equal(bound.train.labels, planted.train.labels)
    assert found.data.bind(planted) is planted
    otherwise = choose(seed=2, **options).apply(DATASET)
    again = found.data.bind(otherwise)
    assert torch.equal(again.train.labels, planted.train.labels)
    assert spec_of(DATASET).data.bind(planted) is DATASET
    prints = {spec_of(one).fingerprint for one in (DATASET, planted, otherwise)}
    assert len(prints) == 3, "originals of other labels are others"


@pytest.mark.parametrize(
    "change",
    [
        {"labels": [1]},
        {"labels": "11"},
        {"labels": [1, -1, 0]},
        {"labels": [True, 1, 0]},
        {"indices": [1, 2.5, 3]},
        {"indices": None},
        {"request": 3},
        {"request": "canary:x"},
        {"request": "confusion:0:3"},
    ],
)
def test_a_damaged_spec_is_refused(change):
    document = json.loads(spec_of(choose(canaries=3).apply(DATASET)).to_json({}))
    document["data"]["poison"] |= change
    with refused("damaged"):
        Spec.from_dict(document)


def test_planted_labels_of_other_data_are_refused():
    spec = spec_of(choose(canaries=12).apply(DATASET))
    fewer = make_dataset(train=5, classes=3)
    with refused("only 5 training samples"):
        spec.data.poison.apply(fewer)
    document = json.loads(spec.to_json({}))
    document["data"]["poison"]["labels"] = [9] * 12
    with refused("labels"):
        Spec.from_dict(document).data.bind(DATASET)


def test_classes_are_found_by_name_or_number_in_any_order():
    for text in ("class_2,class_0:7", "2,0:7", "0,class_2:7"):
        assert spelled({"confusion": text, "rate": 0.5}, DATASET) == {
            "confusion": "0,2:7",
            "rate": 0.5,
        }
    assert spelled({"rate": 0.5}, DATASET) == {"rate": 0.5}


def test_a_request_says_what_plants_it():
    assert ForgetRequest.parse("canary:12").planting == {"canaries": 12}
    assert ForgetRequest.parse("confusion:cat,dog:7").planting == {"confusion": "cat,dog:7"}
    assert ForgetRequest.parse("class:3").planting == {}
    assert ForgetRequest.parse("poison").planting == {}


@pytest.mark.parametrize("kind", ["folder", "lmdb", "streamed"])
def test_files_keep_their_labels_and_copies_of_canaries_stay(kind, tmp_path):
    rng = np.random.default_rng(1)
    images = [encoded(rng.integers(0, 256, (8, 8, 3), np.uint8)) for _ in range(8)]
    tree = {f"train/{name}/{n}.png": images[n] for name in ("cat", "dog") for n in range(8)}
    tree |= {f"val/{name}/{n}.png": images[n] for name in ("cat", "dog") for n in range(2)}
    path, name = tmp_path / "images", "imagefolder"
    write_tree(path, tree)
    if kind == "lmdb":
        build(of_tree(path), tmp_path / "a.lmdb", decode_rgb)
        path, name = tmp_path / "a.lmdb", "lmdb"
    dataset = load_data(name, path, 8, stream=kind == "streamed", workers=0)
    parts = split(dataset.train.labels.numpy(), SplitSpec(val_share=0.0))
    before = {file: file.read_bytes() for file in tmp_path.rglob("*") if file.is_file()}

    what = choose(dataset, parts, canaries=3)
    planted = what.apply(dataset)

    assert planted.streams == (kind == "streamed")
    assert len(changed(dataset, planted)) == 3
    assert all(file.read_bytes() == content for file, content in before.items())
    again = load_data(name, path, 8, stream=kind == "streamed", workers=0)
    assert torch.equal(DataSpec.of(planted).bind(again).train.labels, planted.train.labels)
    found = ForgetRequest.parse("canary:3", duplicates="forget").cut(planted, parts, 0)
    assert found.forget.tolist() == list(what.indices)
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(map(str, what.indices)))
    by_number = ForgetRequest.parse(f"indices:{listed}", duplicates="forget")
    assert len(by_number.cut(planted, parts, 0).forget) > 3, "there are copies in this data"
