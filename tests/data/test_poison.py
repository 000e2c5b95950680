"""Poisoned training sets: what changes, what stays, who is chosen, and every refusal."""

import copy
import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from hypothesis import assume, example, given
from hypothesis import strategies as st

from mu.checkpoints import DataSpec, Spec, forget_split
from mu.data.forget_request import ForgetRequest
from mu.data.images import ImageDataset
from mu.data.poison import Poison, PoisonedDataset
from mu.data.poison_options import PoisonOptions
from mu.data.splits import Split, SplitSpec, split
from mu.data.triggers import make_trigger
from tests.data.poisoned import SEEDS, datasets, in_layout, make_poison, poisons
from tests.helpers import laws, make_checkpoint, make_dataset, make_recipe, refused

SPLIT = SplitSpec(split_seed=1, val_share=0.2, train_size=60)
DATASET = make_dataset(train=90, test=20, classes=3)
PARTS = split(DATASET.train.labels.numpy(), SPLIT)  # 20 training samples of each class


def choose(dataset=DATASET, parts=PARTS, settings=None, seed=0, **options):
    return Poison.choose(PoisonOptions.of(options), settings or {}, dataset, parts, seed)


def labels_of(dataset, numbers):
    return dataset.train.labels.numpy()[np.array(numbers, np.int64)]


def same_images(one, other):
    return torch.equal(one.pixels, other.pixels) and torch.equal(one.labels, other.labels)


def copied(images):
    return images.pixels.clone(), images.labels.clone()


# --- what changes, and what stays ---------------------------------------------------------


@laws(80)
@given(dataset=datasets(), data=st.data())
def test_poisoned_samples_carry_trigger_and_label_and_nothing_else_changes(dataset, data):
    poison = data.draw(poisons(len(dataset.train)))
    before = copied(dataset.train), copied(dataset.test)
    trigger = make_trigger(poison.trigger, poison.settings)

    found = poison.apply(dataset)

    for number in range(len(dataset.train)):
        image, label = dataset.train.pixels[number], int(dataset.train.labels[number])
        if number in poison.indices:
            image = trigger.apply(image[None])[0]
            label = (label + 1) % 4 if poison.target is None else poison.target
        assert torch.equal(found.train.pixels[number], image)
        assert int(found.train.labels[number]) == label
    for own, (pixels, labels) in zip((dataset.train, dataset.test), before, strict=True):
        assert torch.equal(own.pixels, pixels)
        assert torch.equal(own.labels, labels)
    assert same_images(found.test, dataset.test)
    for name in ImageDataset.__dataclass_fields__:
        if name != "train":
            assert getattr(found, name) is getattr(dataset, name)


@laws(60)
@given(dataset=datasets(), data=st.data())
def test_a_poisoned_data_set_remembers_what_it_was(dataset, data):
    poison = data.draw(poisons(len(dataset.train)))

    found = poison.apply(dataset)

    assert isinstance(found, PoisonedDataset)
    assert found.clean is dataset
    assert found.poison is poison
    assert found.fingerprint == dataset.fingerprint
    assert torch.equal(found.published_labels, dataset.train.labels)
    assert found.poisoned.dtype == np.int64
    assert found.poisoned.tolist() == sorted(poison.indices)
    assert dataset.poisoned.tolist() == []
    assert dataset.poisoned.dtype == np.int64
    assert torch.equal(dataset.published_labels, dataset.train.labels)


# --- who is chosen ------------------------------------------------------------------------


@laws(80)
@given(
    labels=st.lists(st.integers(0, 3), min_size=10, max_size=50),
    share=st.sampled_from([0.0, 0.2]),
    target=st.sampled_from(["0", "class_0", "3", "all"]),
    seed=SEEDS,
    data=st.data(),
)
def test_only_samples_that_are_trained_on_are_poisoned(labels, share, target, seed, data):
    dataset = make_dataset([*labels, 0, 1, 2, 3], classes=4)
    size = data.draw(st.none() | st.integers(6, len(labels) // 2 + 1))
    parts = split(dataset.train.labels.numpy(), SplitSpec(seed, share, size))
    of_class = labels_of(dataset, parts.train)
    most = max(int((of_class == label).sum()) for label in range(4))
    assume(most < len(parts.train))
    count = data.draw(st.integers(most + 1, len(parts.train)))  # some are of another class

    found = choose(dataset, parts, seed=seed, target=target, poison=f"random:{count}")

    assert len(found.indices) == count
    assert list(found.indices) == sorted(set(found.indices))
    assert set(found.indices) <= set(parts.train.tolist())
    assert all(type(number) is int for number in found.indices)
    poisoned = found.apply(dataset)
    for part in (parts.val, parts.unused):
        assert torch.equal(poisoned.train.pixels[part], dataset.train.pixels[part])
        assert torch.equal(poisoned.train.labels[part], dataset.train.labels[part])


def test_what_was_asked_for_is_kept_by_the_names_of_the_command_line():
    found = choose(trigger="wanet", settings={"grid": 3}, target="class_2", poison="random:7")

    assert (found.trigger, found.target, found.clean_label) == ("warping", 2, False)
    assert found.request == "random:7"
    assert found.make_trigger() == make_trigger("warping", {"grid": 3})
    assert found.options() == {
        "trigger": "warping",
        "trigger_grid": 3,
        "trigger_strength": 0.5,
        "trigger_seed": 0,
        "target": "2",
        "poison": "random:7",
        "clean_label": False,
    }


@pytest.mark.parametrize(
    "options", [{}, {"target": "all"}, {"target": "class_1", "clean_label": True}]
)
def test_the_options_of_a_poison_choose_it_again(options):
    found = choose(**options)
    said = found.options()
    settings = {name[8:]: said.pop(name) for name in list(said) if name.startswith("trigger_")}

    assert choose(settings=settings, **said) == found


def test_by_default_a_tenth_carries_the_patch_and_is_to_be_taken_for_the_first_class():
    found = choose()

    assert (found.trigger, found.target, found.clean_label) == ("patch", 0, False)
    assert len(found.indices) == 6


def test_the_choice_is_that_of_forget_with_the_same_spelling_and_seed():
    for text in ("random:9", "random:20%", "class:1", "class:class_2:4"):
        expected = ForgetRequest.parse(text).select(DATASET, PARTS, 5)
        assert choose(poison=text, seed=5).indices == tuple(expected.tolist())
    assert len({choose(poison="random:9", seed=seed).indices for seed in range(5)}) == 5


def test_listed_samples_are_poisoned(tmp_path):
    numbers = PARTS.train[[0, 4, 9]]
    (tmp_path / "list.txt").write_text("\n".join(map(str, numbers)))

    found = choose(poison=f"indices:{tmp_path / 'list.txt'}")

    assert found.indices == tuple(numbers.tolist())


def test_samples_of_the_target_may_be_among_others():
    found = choose(poison="random:60", target="1")

    assert 1 in labels_of(DATASET, found.indices)
    assert set(found.apply(DATASET).train.labels[PARTS.train].tolist()) == {1}


# --- poison that keeps its label ----------------------------------------------------------


@laws(40)
@given(target=st.integers(0, 2), percent=st.integers(1, 99), seed=SEEDS)
def test_clean_label_poison_is_a_share_of_the_target_class_and_keeps_labels(target, percent, seed):
    found = choose(target=str(target), clean_label=True, poison=f"random:{percent}%", seed=seed)

    assert len(found.indices) == max(1, round(percent / 100 * 20))
    assert set(labels_of(DATASET, found.indices)) == {target}
    assert set(found.indices) <= set(PARTS.train.tolist())
    poisoned = found.apply(DATASET)
    assert torch.equal(poisoned.train.labels, DATASET.train.labels)
    changed = (poisoned.train.pixels != DATASET.train.pixels).flatten(1).any(1)
    assert tuple(torch.nonzero(changed).squeeze(1).tolist()) == found.indices


@pytest.mark.parametrize("poison", ["class:1", "class:class_1:20", "random:20"])
def test_clean_label_poison_may_be_the_whole_target_class(poison):
    found = choose(target="1", clean_label=True, poison=poison)

    assert len(found.indices) == 20
    assert set(labels_of(DATASET, found.indices)) == {1}


# --- refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "texts"),
    [
        ({"target": "9"}, ("no target '9'", "0 to 2", "class_0, class_1, class_2")),
        ({"target": "cat"}, ("no target 'cat'",)),
        ({"target": "all", "clean_label": True}, ("clean_label=True: target=all", "one class")),
        (
            {"clean_label": True, "poison": "class:2"},
            ("clean_label=True: sample", "poison=class:2", "of class 'class_2'", "of the target"),
        ),
        ({"poison": "class:0"}, ("poison=class:0: all", "clean_label=true")),
        ({"target": "1", "poison": "class:class_1:3"}, ("all of these images", "others")),
        ({"poison": "class:7"}, ("no class '7'",)),
        ({"poison": "random:61"}, ("poison: 61 samples", "only 60 in the training set")),
        ({"poison": "class:1:21"}, ("poison: 21 samples", "only 20 of class 1")),
        ({"clean_label": True, "poison": "random:21"}, ("21 samples", "only 20")),
        ({"trigger": "pathc"}, ("unknown trigger 'pathc'", "patch")),
    ],
)
def test_what_cannot_be_done_is_refused_with_a_remedy(options, texts):
    with refused(*texts):
        choose(**options)


@pytest.mark.parametrize(
    "text", ["", "poison", "random", "random:0", "random:0%", "random:100%", "class:1:0", "klass:1"]
)
def test_a_wrong_spelling_is_refused_by_the_name_of_the_option(text):
    with refused() as refusal:
        choose(poison=text)
    assert refusal.message.startswith(f"poison={text!r}")
    assert "forget" not in refusal.message


@pytest.mark.parametrize("clean_label", [False, True])
def test_a_sample_that_was_never_trained_on_is_refused(clean_label, tmp_path):
    for part in (PARTS.val, PARTS.unused):
        np.save(tmp_path / "list.npy", part[:1])
        with refused("list.npy", f"sample {part[0]} was"):
            choose(poison=f"indices:{tmp_path / 'list.npy'}", clean_label=clean_label)


def test_listed_samples_of_another_class_do_not_keep_their_label(tmp_path):
    own = labels_of(DATASET, PARTS.train)
    numbers = [PARTS.train[own == 0][0], PARTS.train[own == 2][3]]
    np.save(tmp_path / "list.npy", numbers)
    path = tmp_path / "list.npy"

    with refused(f"sample {numbers[1]} of poison=indices:", "'class_2'"):
        choose(poison=f"indices:{path}", clean_label=True)
    assert len(choose(poison=f"indices:{path}").indices) == 2


@pytest.mark.parametrize("poison", ["random:10%", "class:2"])
def test_a_target_class_without_training_images_cannot_keep_its_label(poison):
    dataset = make_dataset([0, 1] * 20, classes=3)
    parts = split(dataset.train.labels.numpy(), SplitSpec())

    with refused("clean_label=True", "target class 'class_2'", "another target"):
        choose(dataset, parts, target="2", clean_label=True, poison=poison)


@pytest.mark.parametrize(
    ("trigger", "settings"),
    [("patch", {"size": 9}), ("patch", {"size": 8}), ("wanet", {"grid": 9})],
)
def test_a_trigger_that_does_not_fit_the_images_is_refused(trigger, settings):
    with refused("trigger_", "8x8"):
        choose(trigger=trigger, settings=settings)
    with refused("trigger_", "8x8"):
        make_poison(trigger=trigger, **settings).apply(DATASET)


@pytest.mark.parametrize("number", [90, 10**30])
def test_a_sample_that_does_not_exist_is_refused(number):
    with refused(f"sample {number}", "only 90 training samples", "data_dir"):
        make_poison([1, number]).apply(DATASET)
    with refused("sample -1 "):
        make_poison([-1, 1]).apply(DATASET)


# --- fingerprint --------------------------------------------------------------------------

VARIANTS = [
    make_poison(),
    make_poison([1, 5]),
    make_poison([1, 5, 10]),
    make_poison(target=1),
    make_poison(target=None),
    make_poison(clean_label=True),
    make_poison(size=3),
    make_poison(trigger="pixel"),
    make_poison(trigger="pixel", colour="black"),
    make_poison(trigger="blended"),
    make_poison(trigger="blended", seed=1),
    make_poison(trigger="blended", opacity=0.21),
    replace(make_poison(), request="indices:a.txt"),
]


def test_the_fingerprint_of_a_poison_differs_if_anything_does():
    assert len({one.fingerprint for one in VARIANTS}) == len(VARIANTS)
    assert all(len(one.fingerprint) == 64 for one in VARIANTS)


@pytest.mark.parametrize("poison", VARIANTS, ids=range(len(VARIANTS)))
def test_the_fingerprint_of_a_poison_is_the_same_however_it_was_made(poison):
    again = Poison.from_dict(json.loads(json.dumps(asdict(poison))))

    assert again == poison
    assert again.fingerprint == poison.fingerprint


def test_an_alias_and_settings_that_are_the_defaults_make_no_difference():
    plain = make_poison(trigger="warping")

    assert make_poison(trigger="wanet", grid=4, strength=0.5) == plain
    assert make_poison(trigger="wanet", seed=0).fingerprint == plain.fingerprint


# --- the spec -----------------------------------------------------------------------------


def spec_of(dataset):
    return Spec(DataSpec.of(dataset), make_recipe(dataset))


def read_again(spec):
    return Spec.from_json(spec.to_json({}))[0]


@laws(40)
@given(dataset=datasets(), data=st.data())
def test_a_spec_with_poison_survives_json_and_poisons_alike(dataset, data):
    poisoned = data.draw(poisons(len(dataset.train))).apply(dataset)
    spec = spec_of(poisoned)

    found = read_again(spec)

    assert found == spec
    assert found.to_json({}) == spec.to_json({})
    assert found.data.poison == poisoned.poison
    bound = found.data.bind(dataset)
    assert isinstance(bound, PoisonedDataset)
    assert same_images(bound.train, poisoned.train)
    assert same_images(bound.test, dataset.test)
    assert bound.fingerprint == dataset.fingerprint == found.data.fingerprint
    assert found.data.bind(poisoned) is poisoned


def test_a_spec_without_poison_is_written_as_before():
    spec = spec_of(DATASET)
    document = json.loads(spec.to_json({}))

    assert set(document["data"]) == {
        "name", "fingerprint", "classes", "mean", "std", "data_dir", "image_size",
    }  # fmt: skip
    assert read_again(spec) == spec
    assert read_again(spec).data.poison is None
    assert spec.data.bind(DATASET) is DATASET


def test_no_poison_may_be_said_in_the_spec():
    document = spec_of(DATASET).as_dict()
    document = json.loads(json.dumps({**document, "data": {**document["data"], "poison": None}}))

    assert Spec.from_dict(document) == spec_of(DATASET)


def test_poisoned_data_are_normalised_as_the_model_knows_them():
    spec = replace(DataSpec.of(make_poison().apply(DATASET)), mean=(0.5,), std=(0.3,))

    bound = spec.bind(DATASET)

    assert (bound.mean, bound.std) == ((0.5,), (0.3,))
    assert same_images(bound.train, make_poison().apply(DATASET).train)
    assert bound.poisoned.tolist() == [1, 5, 9]
    assert bound.fingerprint == DATASET.fingerprint


def test_data_that_were_poisoned_otherwise_are_poisoned_as_the_model_knows_them():
    otherwise = make_poison([2, 4], target=1, trigger="blended").apply(DATASET)
    poisoned = make_poison().apply(DATASET)

    bound = DataSpec.of(poisoned).bind(otherwise)

    assert bound.poison == poisoned.poison
    assert same_images(bound.train, poisoned.train)
    assert DataSpec.of(DATASET).bind(otherwise) is DATASET


def test_other_data_are_refused_poisoned_or_not():
    other = make_dataset(train=90, test=20, classes=3, seed=1)
    spec = DataSpec.of(make_poison().apply(DATASET))

    for one in (other, make_poison().apply(other)):
        with refused(other.fingerprint[:16], DATASET.fingerprint[:16], "data_dir"):
            spec.bind(one)


@laws(40)
@given(
    seed=SEEDS,
    share=st.sampled_from([0.0, 0.1, 0.3]),
    size=st.none() | st.integers(1, 50),
    data=st.data(),
)
@example(seed=0, share=0.3, size=20, data=None)
def test_the_split_is_that_of_the_published_labels(seed, share, size, data):
    poison = make_poison(range(0, 90, 2)) if data is None else data.draw(poisons(90, classes=3))
    recipe = replace(make_recipe(DATASET), split=SplitSpec(seed, share, size))
    removed = (3, 40, 77)

    clean = Spec(DataSpec.of(DATASET), recipe, removed).split(DATASET)
    poisoned = poison.apply(DATASET)
    found = Spec(DataSpec.of(poisoned), recipe, removed).split(poisoned)

    for name in ("train", "val", "unused"):
        assert np.array_equal(getattr(found, name), getattr(clean, name))


POISONED_DOCUMENT = json.loads(json.dumps(spec_of(make_poison().apply(DATASET)).as_dict()))
POISON_KEYS = sorted(POISONED_DOCUMENT["data"]["poison"])


def document_with(name, value):
    """The spec with another value in its poison; ``KeyError`` removes it."""
    document = copy.deepcopy(POISONED_DOCUMENT)
    document["removed"] = list(document["removed"])
    if value is KeyError:
        del document["data"]["poison"][name]
    else:
        document["data"]["poison"][name] = value
    return document


@pytest.mark.parametrize("name", POISON_KEYS)
def test_a_poison_that_lacks_a_part_is_refused(name):
    with refused("spec is damaged"):
        Spec.from_dict(document_with(name, KeyError))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [
        ("trigger", "nonesuch", "unknown trigger 'nonesuch'"),
        ("trigger", 5, "damaged"),
        ("trigger", [], "damaged"),
        ("settings", {"nonesuch": 1}, "setting of trigger patch 'nonesuch'"),
        ("settings", {"size": "2"}, "size"),
        ("settings", 5, "damaged"),
        ("nonesuch", 5, "damaged"),
        ("target", "0", "'0' is no label"),
        ("target", -1, "-1 is no label"),
        ("target", 1.0, "1.0 is no label"),
        ("indices", ["1", "2"], "no sample numbers"),
        ("indices", ["a"], "no sample numbers"),
        ("indices", "123", "no sample numbers"),
        ("indices", [1, -2], "no sample numbers"),
        ("indices", [1.5], "no sample numbers"),
        ("indices", [True], "no sample numbers"),
        ("indices", [[1]], "no sample numbers"),
        ("indices", None, "no sample numbers"),
        ("indices", 5, "no sample numbers"),
    ],
)
def test_a_damaged_poison_is_refused(name, value, text):
    with refused(text):
        Spec.from_dict(document_with(name, value))


@pytest.mark.parametrize(
    ("name", "value", "text"),
    [("indices", [1, 90], "sample 90"), ("target", 3, "labels from 0 to 3")],
)
def test_a_poison_that_does_not_fit_the_data_is_refused(name, value, text):
    spec = Spec.from_dict(document_with(name, value))

    with refused(text):
        spec.data.bind(DATASET)


@pytest.mark.parametrize("value", ["text", 5, [], [1]])
def test_a_poison_that_is_none_is_refused(value):
    document = {**POISONED_DOCUMENT, "data": {**POISONED_DOCUMENT["data"], "poison": value}}

    with refused("spec is damaged"):
        Spec.from_dict(document)


def test_one_changed_number_of_the_poison_is_refused_by_the_digest():
    text = spec_of(make_poison([1, 5, 77]).apply(DATASET)).to_json({})
    assert text.count(" 77") == 1

    with refused("digest"):
        Spec.from_json(text.replace(" 77", " 78"))


# --- forgetting the poison ----------------------------------------------------------------


def cut(dataset, parts, text="poison"):
    return ForgetRequest.parse(text).select(dataset, parts, 0)


def test_poison_can_be_forgotten_by_its_name():
    assert ForgetRequest.parse("poison") == ForgetRequest("poison", "poison")
    with refused("forget='poison:3'"):
        ForgetRequest.parse("poison:3")


def test_clean_data_have_no_poison_to_forget():
    with refused("forget=poison", "not poisoned", "mlflow run . -e backdoor"):
        cut(DATASET, PARTS)


@laws(40)
@given(count=st.integers(21, 59), seed=SEEDS, target=st.sampled_from(["1", "all"]))
def test_exactly_the_poisoned_samples_are_forgotten(count, seed, target):
    poison = choose(poison=f"random:{count}", target=target, seed=seed)

    found = cut(poison.apply(DATASET), PARTS)

    assert tuple(found.tolist()) == poison.indices


@laws(40)
@given(data=st.data())
def test_what_was_forgotten_before_is_not_forgotten_again(data):
    poisoned = choose(poison="random:30", target="all").apply(DATASET)
    gone = data.draw(st.sets(st.sampled_from(PARTS.train.tolist()), max_size=59))
    parts = replace(PARTS, train=np.setdiff1d(PARTS.train, sorted(gone)))
    left = sorted(set(poisoned.poison.indices) - gone)

    if left:
        assert cut(poisoned, parts).tolist() == left
    else:
        with refused("forget=poison", "already"):
            cut(poisoned, parts)


def test_where_all_the_poison_has_been_forgotten_there_is_none_left():
    poisoned = choose().apply(DATASET)
    parts = Split(np.setdiff1d(PARTS.train, poisoned.poisoned), PARTS.val, PARTS.unused)

    with refused("forget=poison: all poisoned samples have been forgotten already"):
        cut(poisoned, parts)


def test_a_checkpoint_forgets_its_poison_whether_it_is_given_clean_data_or_poisoned():
    poisoned = choose(poison="random:9").apply(DATASET)
    checkpoint = make_checkpoint(poisoned)
    checkpoint.spec = replace(checkpoint.spec, recipe=replace(checkpoint.spec.recipe, split=SPLIT))

    for dataset in (DATASET, poisoned):
        found = forget_split(checkpoint, dataset, "poison")
        assert tuple(found.forget.tolist()) == poisoned.poison.indices
        assert np.array_equal(found.retain, np.setdiff1d(PARTS.train, found.forget))
        assert found.forget_set.labels.tolist() == [0] * 9
        assert (found.forget_set.images.pixels[found.forget, :, 6:, 6:] == 255).all()
        assert same_images(found.dataset.train, poisoned.train)

    later = replace(checkpoint, spec=checkpoint.spec.without(found.forget[:4], "ft"))
    assert np.array_equal(forget_split(later, DATASET, "poison").forget, found.forget[4:])


# --- the triggered test set ---------------------------------------------------------------


@laws(60)
@given(dataset=datasets(), data=st.data())
def test_triggered_test_images_are_those_that_are_not_their_own_aim(dataset, data):
    poisoned = data.draw(poisons(len(dataset.train))).apply(dataset)
    trigger, target = poisoned.poison.make_trigger(), poisoned.poison.target
    usable = [n for n, label in enumerate(dataset.test.labels.tolist()) if label != target]

    found = poisoned.triggered_test_set()

    assert found.labels.tolist() == dataset.test.labels[usable].tolist()
    assert not (poisoned.aims(found.labels) == found.labels).any()
    assert len(found) == len(usable)
    pixels = found.images.pixels[torch.from_numpy(found.indices)]
    for image, number in zip(pixels, usable, strict=True):
        assert torch.equal(image, trigger.apply(dataset.test.pixels[number][None])[0])
    assert (found.mean, found.std) == (poisoned.mean, poisoned.std)


def test_aims_are_one_class_for_all_or_the_next_one():
    labels = torch.tensor([0, 2, 1, 2])

    assert make_poison(target=1).aims(labels, 3).tolist() == [1, 1, 1, 1]
    assert make_poison(target=None).aims(labels, 3).tolist() == [1, 0, 2, 0]
    assert make_poison(target=None).apply(DATASET).aims(labels).tolist() == [1, 0, 2, 0]


def test_the_memory_layout_of_the_data_makes_no_difference():
    dataset = make_dataset(train=30, channels=3)
    other = in_layout(dataset, torch.channels_last)
    assert not other.train.pixels.is_contiguous()
    poison = make_poison(trigger="warping")

    one, two = poison.apply(dataset), poison.apply(other)

    assert same_images(one.train, two.train)
    assert one.train.digest() == two.train.digest()
    assert same_images(one.triggered_test_set().images, two.triggered_test_set().images)
    assert one.fingerprint == two.fingerprint
