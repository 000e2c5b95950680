"""One contract suite over every method: masks, seeds, what it may look at, and small cases."""

import copy
import dataclasses

import pytest
import torch

from mu.checkpoints import Checkpoint, DataSpec, Spec, forget_split
from mu.data import load_data
from mu.data.forget import ForgetSplit
from mu.data.images import Images
from mu.masks import Mask
from mu.methods import ALIASES, METHODS, make_method, method_class
from mu.methods.reach import Reaching
from mu.originals.train import make_recipe, train_original
from mu.runs import Run

DATA = load_data("digits")
# Short, and such that every method finds something to do, and to draw.
SETTINGS = {
    "retrain": {},
    "ga": {"epochs": 6, "batch_size": 4},
    "ff": {},
    "iu": {"fisher_samples": 40},
}
SCALES = {"ga": {"lr": 0.01}, "ff": {"alpha": 1e-3}, "iu": {"alpha": 1e-4}}


def method(name, **settings):
    return make_method(name, {**SETTINGS.get(name, {"epochs": 2}), **settings})


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["dense", "sparse"])
def original(request):
    recipe = make_recipe(DATA, rate=request.param, epochs=6, train_size=120)
    return train_original(DATA, recipe, Run())


@pytest.fixture(params=sorted(METHODS))
def name(request):
    return request.param


def unlearned(original, name, split, seed=0, **settings):
    checkpoint = copy.deepcopy(original)
    method(name, **settings).unlearn(checkpoint, split, Run(seed=seed))
    return checkpoint


def weights(checkpoint):
    return torch.cat([v.double().flatten() for v in checkpoint.model.state_dict().values()])


def test_pruned_weights_stay_exactly_zero(original, name):
    checkpoint = unlearned(original, name, forget_split(original, DATA, "class:3"))
    parameters = dict(checkpoint.model.named_parameters())
    for key in checkpoint.mask:
        assert not parameters[key].detach()[~checkpoint.mask[key]].any()
    assert checkpoint.mask == original.mask


def test_something_changes_but_no_name_and_no_data(original, name):
    pixels = DATA.train.pixels.clone()
    checkpoint = unlearned(original, name, forget_split(original, DATA, "random:10%"))
    assert list(checkpoint.model.state_dict()) == list(original.model.state_dict())
    assert not torch.equal(weights(checkpoint), weights(original))
    assert torch.isfinite(weights(checkpoint)).all()
    assert torch.equal(DATA.train.pixels, pixels)


def test_the_same_seed_gives_the_same_weights(original, name):
    split = forget_split(original, DATA, "random:10")
    first, second = (unlearned(original, name, split, seed=7) for _ in range(2))
    assert torch.equal(weights(first), weights(second))
    assert not torch.equal(weights(first), weights(unlearned(original, name, split, seed=8)))


def test_test_images_are_never_looked_at(original, name):
    split = forget_split(original, DATA, "random:10")
    spoilt = _with_noise(split, split.val[:0], test_too=True)
    one, other = unlearned(original, name, split), unlearned(original, name, spoilt)
    assert torch.equal(weights(one), weights(other))


def test_validation_images_tell_how_far_to_go_and_nothing_else(original, name):
    assert issubclass(method_class(name), Reaching) == (name in SCALES)
    split = forget_split(original, DATA, "random:10")
    spoilt = _with_noise(split, split.val)
    one, other = (
        unlearned(original, name, part, **SCALES.get(name, {})) for part in (split, spoilt)
    )
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("name", ["retrain", "ft", "l1_sparse"])
def test_methods_of_the_retain_set_never_look_at_the_forget_set(original, name):
    split = forget_split(original, DATA, "class:1")
    spoilt = _with_noise(split, split.forget)
    one, other = unlearned(original, name, split), unlearned(original, name, spoilt)
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"ga"}))
def test_the_retain_set_is_looked_at(original, name):
    split = forget_split(original, DATA, "class:1")
    spoilt = _with_noise(split, split.retain)
    one, other = (
        unlearned(original, name, part, **SCALES.get(name, {})) for part in (split, spoilt)
    )
    assert not torch.equal(weights(one), weights(other))


def test_with_lr_given_ascent_never_looks_at_the_retain_set(original):
    split = forget_split(original, DATA, "class:1")
    spoilt = _with_noise(split, split.retain)
    one, other = (unlearned(original, "ga", part, lr=0.01) for part in (split, spoilt))
    assert torch.equal(weights(one), weights(other))


@pytest.mark.parametrize("name", ["ff", "iu"])
@pytest.mark.parametrize("training", [True, False])
def test_what_works_in_one_go_leaves_mode_and_flags_as_they_are(original, name, training):
    checkpoint = copy.deepcopy(original)
    checkpoint.model.train(training)
    method(name).unlearn(checkpoint, forget_split(original, DATA, "class:1"), Run())
    assert checkpoint.model.training is training
    assert all(one.requires_grad and one.grad is None for one in checkpoint.model.parameters())


def test_a_forget_set_of_one(original, name):
    checkpoint = unlearned(original, name, forget_split(original, DATA, "random:1"))
    assert torch.isfinite(weights(checkpoint)).all()


def test_a_retain_set_of_one(original, name):
    parts = original.spec.split(DATA)
    split = ForgetSplit.of(DATA, parts, parts.train[1:])
    checkpoint = unlearned(original, name, split)
    assert torch.isfinite(weights(checkpoint)).all()


def test_a_mask_of_one_kept_weight(original, name):
    kept = {key: torch.zeros_like(original.mask[key]) for key in original.mask}
    first = next(iter(kept))
    kept[first].view(-1)[0] = True
    model = copy.deepcopy(original.model)
    mask = Mask(kept)
    mask.apply(model)
    lonely = Checkpoint(model, mask, original.spec)
    checkpoint = unlearned(lonely, name, forget_split(original, DATA, "random:10"))
    parameters = dict(checkpoint.model.named_parameters())
    assert sum(int(parameters[key].count_nonzero()) for key in mask) <= 1


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("Retrain", "retrain"),
        ("FT", "ft"),
        ("GA", "ga"),
        ("FF", "ff"),
        ("fisher_new", "ff"),
        ("IU", "iu"),
        ("wfisher", "iu"),
        ("l1-sparse", "l1_sparse"),
        ("FT_prune", "l1_sparse"),
    ],
)
def test_the_names_of_the_paper_and_of_its_repository_lead_to_the_same_class(alias, name):
    assert method_class(alias) is method_class(name)
    assert ALIASES[alias] == name


def test_every_hyperparameter_has_help_and_a_default(name):
    for field in dataclasses.fields(method_class(name)):
        assert field.metadata["help"], field.name
        assert field.default is not dataclasses.MISSING, field.name


def _with_noise(split, indices, test_too=False):
    """The same split over data whose pixels at ``indices`` are noise."""
    draws = torch.Generator().manual_seed(0)
    pixels = DATA.train.pixels.clone()
    shape = pixels[torch.from_numpy(indices)].shape
    pixels[torch.from_numpy(indices)] = torch.randint(0, 256, shape, generator=draws).byte()
    test = DATA.test
    if test_too:
        test = Images(torch.zeros_like(DATA.test.pixels), DATA.test.labels)
    spoilt = dataclasses.replace(DATA, train=Images(pixels, DATA.train.labels), test=test)
    return ForgetSplit(spoilt, split.forget, split.retain, split.val)


def test_the_original_is_part_of_the_spec(original):
    assert original.spec == Spec(DataSpec.of(DATA), original.spec.recipe, history=("pruned",))
