"""Checkpoints: what is handed on is what was made, and what was changed on the way is refused."""

import copy
import hashlib
import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.checkpoints import (
    MASK_FILE,
    MASK_SUMMARY_FILE,
    SPEC_FILE,
    WEIGHTS_FILE,
    Checkpoint,
    DataSpec,
    Spec,
    forget_split,
)
from mu.data.splits import SplitSpec, split
from mu.errors import UserError
from mu.masks import Mask
from mu.models import ModelSpec
from mu.recipes.recipe import Recipe, Rewinding
from mu.training import SCHEDULES, Training
from mu.training.recipe import AUGMENTATIONS
from tests.data.poisoned import make_poison
from tests.helpers import bits, flipped, laws, make_checkpoint, make_dataset, refused, same_masks

FILES = (WEIGHTS_FILE, MASK_FILE, SPEC_FILE, MASK_SUMMARY_FILE)


@pytest.fixture(scope="module")
def dataset():
    return make_dataset(train=80, test=20, classes=4)


@pytest.fixture(scope="module")
def original(dataset):
    return make_checkpoint(dataset)


@pytest.fixture(scope="module")
def stored(original, tmp_path_factory):
    """A folder that is never changed, and the digests that saving gave."""
    folder = tmp_path_factory.mktemp("stored")
    return folder, original.save(folder)


@pytest.fixture
def folder(stored, tmp_path):
    """A copy of it that may be changed."""
    shutil.copytree(stored[0], tmp_path / "copy")
    return tmp_path / "copy"


# --- saving and loading -------------------------------------------------------------------


def test_a_loaded_checkpoint_predicts_the_same_to_the_bit(original, stored, dataset):
    loaded = Checkpoint.load(stored[0])
    images = dataset.test.pixels.float() / 255

    with torch.no_grad():
        assert torch.equal(loaded.model(images), original.model(images))
    assert not loaded.model.training
    before, after = original.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(np.array_equal(bits(before[name]), bits(after[name])) for name in before)


def test_a_loaded_checkpoint_has_the_same_mask_and_spec(original, stored):
    loaded = Checkpoint.load(stored[0])

    assert same_masks(loaded.mask, original.mask)
    assert loaded.mask == original.mask
    assert loaded.spec == original.spec
    assert loaded.spec.recipe.fingerprint == original.spec.recipe.fingerprint


def test_saving_what_was_loaded_gives_the_same_files(stored, tmp_path):
    digests = Checkpoint.load(stored[0]).save(tmp_path / "again")

    assert digests == stored[1]
    for name in FILES:
        assert (tmp_path / "again" / name).read_bytes() == (stored[0] / name).read_bytes()


def test_saving_gives_the_digests_of_the_files(stored):
    folder, digests = stored

    assert set(digests) == {WEIGHTS_FILE, MASK_FILE, SPEC_FILE}
    for name, digest in digests.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert {path.relative_to(folder).as_posix() for path in folder.rglob("*.*")} == set(FILES)


def test_saving_over_an_earlier_checkpoint_leaves_the_later_one(folder, dataset):
    later = make_checkpoint(dataset, seed=8, kept=0.6)

    later.save(folder)

    assert Checkpoint.load(folder).spec == later.spec
    assert same_masks(Checkpoint.load(folder).mask, later.mask)


def test_weights_in_channels_last_order_are_saved_as_they_are(dataset, tmp_path):
    checkpoint = make_checkpoint(dataset)
    expected = {name: one.clone() for name, one in checkpoint.model.state_dict().items()}
    checkpoint.model.to(memory_format=torch.channels_last)

    checkpoint.save(tmp_path)

    found = Checkpoint.load(tmp_path).model.state_dict()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_loading_leaves_the_global_generator_alone(stored):
    torch.manual_seed(3)
    before = torch.get_rng_state()

    Checkpoint.load(stored[0])

    assert torch.equal(torch.get_rng_state(), before)


# --- damage -------------------------------------------------------------------------------


@laws()
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
@pytest.mark.parametrize("name", [WEIGHTS_FILE, MASK_FILE])
def test_one_changed_byte_of_weights_or_mask_is_refused(name, place, change, stored):
    path = stored[0] / name
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, int(place * len(whole)), change))
    try:
        with refused(name, "damaged"):
            Checkpoint.load(stored[0])
    finally:
        path.write_bytes(whole)


@laws(100)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_one_changed_byte_of_the_spec_is_refused(place, change, stored):
    # Nothing else would tell that val_share is no longer what the model was trained with.
    path = stored[0] / SPEC_FILE
    whole = path.read_bytes()
    path.write_bytes(flipped(whole, int(place * len(whole)), change))
    try:
        with refused():
            Checkpoint.load(stored[0])
    finally:
        path.write_bytes(whole)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, MASK_FILE, SPEC_FILE])
@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_file_that_was_cut_is_refused(name, kept, folder):
    whole = (folder / name).read_bytes()
    (folder / name).write_bytes(whole[: int(kept * len(whole))])

    with refused():
        Checkpoint.load(folder)


@pytest.mark.parametrize("name", [WEIGHTS_FILE, MASK_FILE, SPEC_FILE])
def test_a_missing_file_is_refused_by_name(name, folder):
    (folder / name).unlink()

    with refused(name, str(folder)):
        Checkpoint.load(folder)


def test_weights_of_another_checkpoint_are_refused(folder, dataset, tmp_path):
    make_checkpoint(dataset, seed=9).save(tmp_path / "other")
    shutil.copy(tmp_path / "other" / WEIGHTS_FILE, folder / WEIGHTS_FILE)

    with refused(WEIGHTS_FILE, "sha256"):
        Checkpoint.load(folder)


@pytest.mark.parametrize(
    "change", [{"arch": "resnet14"}, {"num_classes": 9}, {"in_channels": 3}], ids=str
)
def test_weights_that_do_not_fit_the_network_of_the_spec_are_refused(
    change, folder, stored, original
):
    recipe = replace(original.spec.recipe, model=original.spec.recipe.model.replace(**change))
    (folder / SPEC_FILE).write_text(replace(original.spec, recipe=recipe).to_json(stored[1]))

    with refused(WEIGHTS_FILE, "does not fit"):
        Checkpoint.load(folder)


def test_a_mask_that_does_not_fit_the_network_is_refused(original):
    with refused("'nowhere.weight'"):
        Checkpoint(original.model, Mask({"nowhere.weight": torch.ones(2) > 0}), original.spec)


# --- the spec -----------------------------------------------------------------------------

NAMES = st.text(
    st.characters(exclude_categories=("Cs",)), min_size=1, max_size=8
)  # any script, quotes and line breaks too
FINITE = st.floats(1e-6, 1e6)


@st.composite
def specs(draw):
    classes = tuple(draw(st.lists(NAMES, min_size=1, max_size=4)))
    channels = draw(st.sampled_from([1, 3]))
    epochs = draw(st.integers(1, 300))
    data = DataSpec(
        draw(NAMES),
        draw(st.from_regex(r"[0-9a-f]{64}", fullmatch=True)),
        classes,
        tuple(draw(st.lists(FINITE, min_size=channels, max_size=channels))),
        tuple(draw(st.lists(FINITE, min_size=channels, max_size=channels))),
        draw(st.none() | NAMES),
        draw(st.none() | st.integers(1, 500)),
    )
    recipe = Recipe(
        ModelSpec(
            draw(st.sampled_from(["resnet_mini", "resnet18"])),
            len(classes),
            channels,
            draw(st.sampled_from(["cifar", "imagenet"])),
        ),
        Training(
            epochs=epochs,
            lr=draw(FINITE),
            batch_size=draw(st.integers(1, 4096)),
            momentum=draw(st.floats(0, 1, exclude_max=True)),
            weight_decay=draw(st.floats(0, 1)),
            schedule=draw(st.sampled_from(sorted(SCHEDULES))),
            warmup=draw(st.integers(0, epochs)),
            augment=draw(st.sampled_from(AUGMENTATIONS)),
        ),
        pruning={"rate": draw(st.floats(0, 1, exclude_max=True))},
        rewinding=Rewinding(rewind_epoch=draw(st.none() | st.integers(0, epochs - 1))),
        split=SplitSpec(
            draw(st.integers(0, 2**32 - 1)),
            draw(st.floats(0, 1, exclude_max=True)),
            draw(st.none() | st.integers(1, 10**6)),
        ),
        seed=draw(st.integers(0, 2**32 - 1)),
    )
    removed = tuple(sorted(draw(st.sets(st.integers(0, 10**6), max_size=5))))
    return Spec(data, recipe, removed, tuple(draw(st.lists(NAMES, max_size=3))))


@laws(60)
@given(spec=specs(), files=st.dictionaries(NAMES, NAMES, max_size=2))
def test_a_spec_survives_json_exactly(spec, files):
    found, found_files = Spec.from_json(spec.to_json(files))

    assert found == spec
    assert found_files == files
    assert found.recipe.fingerprint == spec.recipe.fingerprint
    assert found.to_json(files) == spec.to_json(files)


def test_a_spec_is_json_without_numbers_that_json_lacks(original):
    def refuse(text):
        pytest.fail(f"{text} is no JSON")

    document = json.loads(original.spec.to_json({}), parse_constant=refuse)

    assert document["format"] == "mu.checkpoint/1"
    assert document["recipe"]["split"] == original.spec.recipe.split.as_dict()


@pytest.mark.parametrize(
    "text",
    ["", "no JSON", "[]", "5", "null", "{}", '{"format": "mu.checkpoint/1"}', '{"format": 1}'],
)
def test_a_text_that_is_no_spec_is_refused(text):
    with refused("spec"):
        Spec.from_json(text)


@pytest.fixture(scope="module")
def document(original):
    """The parsed spec, to be copied before it is changed."""
    return json.loads(original.spec.to_json({WEIGHTS_FILE: "0" * 64}))


def test_a_spec_of_another_format_is_refused(document):
    with refused("format"):
        Spec.from_json(json.dumps({**document, "format": "mu.checkpoint/2"}))


def places_in(document, path=()):
    """Paths to all values of the spec, and to the groups that they stand in."""
    for key, value in document.items():
        yield (*path, key)
        if isinstance(value, dict) and key != "files":
            yield from places_in(value, (*path, key))


PLACES = sorted(places_in(json.loads(make_checkpoint(make_dataset()).spec.to_json({}))))
SETTINGS = {"training", "rewinding", "split", "pruning"}
OPTIONAL = {
    ("data", "data_dir"),
    ("data", "image_size"),
    ("recipe", "model", "stem"),
    ("recipe", "model", "image_size"),
    ("recipe", "profile"),
    ("recipe", "given_mask"),
}
REQUIRED = [place for place in PLACES if place not in OPTIONAL and not SETTINGS & set(place[:-1])]


def changed(document, place, value=None):
    """A copy of ``document`` with another value at ``place``; ``KeyError`` removes it."""
    copied = copy.deepcopy(document)
    inner = copied
    for key in place[:-1]:
        inner = inner[key]
    if value is KeyError:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return json.dumps(copied)


@pytest.mark.parametrize("place", REQUIRED, ids=".".join)
def test_a_spec_that_lacks_a_part_is_refused(place, document):
    with refused("spec"):
        Spec.from_json(changed(document, place, KeyError))


def read_and_use(text, dataset):
    """Refused in one line, or good enough to build the network and to split the data."""
    try:
        spec, _ = Spec.from_json(text)
        spec.recipe.model.build(spec.recipe.seed)
        spec.split(dataset)
    except UserError as error:
        return str(error)
    return ""


@pytest.mark.parametrize("place", PLACES, ids=".".join)
def test_a_value_of_another_kind_in_the_spec_is_refused_or_does_no_harm(place, document, dataset):
    for value in (None, "text", -1, 2.5, True, [], {}, ["a"], [1, [2]]):
        assert "\n" not in read_and_use(changed(document, place, value), dataset)


@laws(100)
@given(place=st.floats(0, 1, exclude_max=True), change=st.integers(1, 255))
def test_one_changed_byte_of_the_spec_never_crashes(place, change, document, dataset):
    whole = json.dumps(document, indent=1).encode()
    text = flipped(whole, int(place * len(whole)), change).decode("utf-8", "replace")

    assert "\n" not in read_and_use(text, dataset)


# --- data ---------------------------------------------------------------------------------


def test_the_same_data_is_accepted_wherever_it_lies(dataset, original):
    original.spec.data.check(dataset)
    original.spec.data.check(make_dataset(train=80, test=20, classes=4))


def test_other_data_is_refused_with_both_fingerprints_and_the_remedy(original):
    other = make_dataset(train=80, test=20, classes=4, seed=1)

    with refused(other.fingerprint[:16], original.spec.data.fingerprint[:16], "data_dir"):
        original.spec.data.check(other)
    with refused(other.fingerprint[:16]):
        forget_split(original, other, "class:0")


def test_other_data_or_another_recipe_makes_another_original(original, dataset):
    """A sweep takes a finished original for its own if the fingerprints are the same."""
    spec = original.spec
    others = [
        make_dataset(train=80, test=20, classes=4, seed=1),
        replace(dataset, mean=(0.5,)),
        replace(dataset, std=(0.5,)),
        *(make_poison(indices).apply(dataset) for indices in ((1, 5), (1, 6))),
    ]
    made = [replace(spec, data=DataSpec.of(one)) for one in others]
    made += [replace(spec, recipe=replace(spec.recipe, given_mask="a" * 64))]
    made += [replace(spec, recipe=replace(spec.recipe, seed=77))]
    assert len({one.fingerprint for one in (spec, *made)}) == 1 + len(made)
    elsewhere = replace(spec, data=replace(spec.data, data_dir="elsewhere"), removed=(3,))
    assert elsewhere.fingerprint == spec.fingerprint


# --- forgetting ---------------------------------------------------------------------------


def test_the_split_is_that_of_the_recipe(original, dataset):
    found = original.spec.split(dataset)
    expected = split(dataset.train.labels.numpy(), original.spec.recipe.split)

    assert np.array_equal(found.train, expected.train)
    assert np.array_equal(found.val, expected.val)
    assert np.array_equal(found.unused, expected.unused)


@laws()
@given(data=st.data())
def test_removed_samples_leave_the_training_part_and_no_other(original, dataset, data):
    whole = original.spec.split(dataset)
    gone = data.draw(st.sets(st.sampled_from(whole.train.tolist()), max_size=70))

    spec = original.spec.without(np.array(sorted(gone), np.int64), "ft")
    found = spec.split(dataset)

    assert spec.removed == tuple(sorted(gone))
    assert spec.history == ("pruned", "ft")
    assert set(found.train.tolist()) == set(whole.train.tolist()) - gone
    assert np.array_equal(found.val, whole.val)
    assert original.spec.removed == ()


def forget(checkpoint, dataset, request, method="ft"):
    """The forget split, and the checkpoint that a method would leave."""
    found = forget_split(checkpoint, dataset, request)
    spec = checkpoint.spec.without(found.forget, method)
    return found, Checkpoint(checkpoint.model, checkpoint.mask, spec)


def test_forgetting_twice_partitions_what_is_left(original, dataset, tmp_path):
    first, after = forget(original, dataset, "class:2")
    after.save(tmp_path)
    second, last = forget(Checkpoint.load(tmp_path), dataset, "random:12", "l1_sparse")

    assert np.array_equal(np.union1d(second.forget, second.retain), first.retain)
    assert not np.intersect1d(second.forget, first.forget).size
    assert len(second.forget) == 12
    assert last.spec.removed == tuple(np.union1d(first.forget, second.forget).tolist())
    assert last.spec.history == ("pruned", "ft", "l1_sparse")
    assert np.array_equal(last.spec.split(dataset).train, second.retain)


def test_a_forgotten_class_cannot_be_forgotten_again(original, dataset):
    _, after = forget(original, dataset, "class:2")

    with refused("nothing of class", "2"):
        forget_split(after, dataset, "class:2")


def test_a_forgotten_sample_cannot_be_listed_again(original, dataset, tmp_path):
    first, after = forget(original, dataset, "random:5")
    np.save(tmp_path / "list.npy", first.forget[1:2])

    with refused(f"sample {first.forget[1]}", "forgotten before"):
        forget_split(after, dataset, f"indices:{tmp_path / 'list.npy'}")


def test_every_retained_sample_can_be_listed_after_a_first_forgetting(original, dataset, tmp_path):
    first, after = forget(original, dataset, "random:20")
    np.save(tmp_path / "list.npy", first.retain[-3:])

    second, _ = forget(after, dataset, f"indices:{tmp_path / 'list.npy'}")

    assert np.array_equal(second.forget, first.retain[-3:])


def test_the_draw_of_a_forget_set_is_that_of_the_split_seed(original, dataset, tmp_path):
    original.save(tmp_path)

    found = forget_split(original, dataset, "random:9")
    again = forget_split(Checkpoint.load(tmp_path), dataset, "random:9")

    assert np.array_equal(found.forget, again.forget)
