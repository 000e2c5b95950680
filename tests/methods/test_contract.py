"""One contract suite over every method: masks, seeds, which images it reads, and small cases."""

import copy
import dataclasses

import pytest
import torch

from mu.checkpoints import Checkpoint, DataSpec, Spec, forget_split
from mu.data import load_data
from mu.data.forget_split import ForgetSplit
from mu.evaluation.controls import CONTROLS
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.methods import METHODS, make_method, method_class
from mu.methods.fine_tuning import FineTuning
from mu.methods.steps.criterion import OVERSHOOT
from mu.methods.stopping import Stopping
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from tests.declared import declared
from tests.helpers import mostly_slow, refused
from tests.methods.guarded import LookedError, guarded
from tests.methods.networks import RESIDUAL, TRANSFORMER
from tests.methods.small import small

DATA = load_data("digits")
PIXELS = DATA.train.pixels.clone()


def method(name, *, scaled=False, **settings):
    return make_method(name, small(name, scaled=scaled) | settings)


@pytest.fixture(scope="module", params=mostly_slow([0.0, 0.95], 0.95))
def original(request):
    recipe = make_recipe(DATA, arch=RESIDUAL, rate=request.param, epochs=10, train_size=120)
    return train_original(DATA, recipe, Run(device="cpu"))


@pytest.fixture(params=sorted({*METHODS} - {*CONTROLS}))
def name(request):
    return request.param


def unlearned(original, name, split, seed=0, *, scaled=False):
    labels = {*split.forget_set.labels.tolist()}
    if method_class(name).classes_only and not labels <= {*split.forgotten_classes}:
        with refused(f"method={name} forgets whole classes"):
            method(name).check(split)
        pytest.skip("it is refused")
    checkpoint = copy.deepcopy(original)
    method(name, scaled=scaled).unlearn(checkpoint, split, Run(device="cpu", seed=seed))
    return checkpoint


def weights(checkpoint):
    return torch.cat([v.double().flatten() for v in checkpoint.model.state_dict().values()])


DONE = {}  # what several tests ask of one unlearning, by what it was


def result(original, name, forget, *, scaled=False):
    """The network after one unlearning, during which no test image could be read."""
    key = (id(original), name, forget, scaled)
    if key not in DONE:
        split = guarded(forget_split(original, DATA, forget), test=True)
        # With the original, so that no other one gets its number.
        DONE[key] = original, unlearned(original, name, split, scaled=scaled)
    return DONE[key][1]


def test_pruned_weights_stay_exactly_zero(original, name):
    checkpoint = result(original, name, "class:3")
    parameters = dict(checkpoint.model.named_parameters())
    for key in checkpoint.mask:
        assert not parameters[key].detach()[~checkpoint.mask[key]].any()
    assert checkpoint.mask == original.mask


def test_something_changes_but_no_name_and_no_data(original, name):
    """With a given scale; by the rule, what only makes things worse is taken back."""
    checkpoint = result(original, name, "class:3", scaled=True)
    assert list(checkpoint.model.state_dict()) == list(original.model.state_dict())
    assert not torch.equal(weights(checkpoint), weights(original))
    assert torch.isfinite(weights(checkpoint)).all()
    assert torch.equal(DATA.train.pixels, PIXELS)


@pytest.mark.parametrize("scaled", mostly_slow([True, False], True))
def test_the_same_seed_gives_the_same_weights(original, name, scaled):
    split, first = (
        forget_split(original, DATA, "class:3"),
        result(original, name, "class:3", scaled=scaled),
    )
    second, other = (unlearned(original, name, split, seed=seed, scaled=scaled) for seed in (0, 8))
    assert torch.equal(weights(first), weights(second))
    # By the rule all may be taken back, whatever the seed.
    if scaled or not torch.equal(weights(first), weights(original)):
        assert not torch.equal(weights(first), weights(other))


def test_the_guard_tells_what_it_guards(original):
    split = forget_split(original, DATA, "class:3")
    blind = guarded(split, split.forget, test=True)
    for subset in (blind.forget_set, blind.test_set):
        with pytest.raises(LookedError, match="read"):
            predict(original.model, subset, Run(device="cpu"))
    predict(original.model, blind.retain_set, Run(device="cpu"))


@pytest.mark.parametrize("forget", mostly_slow(["class:3", "random:10%"], "class:3"))
def test_by_the_rule_no_test_image_is_read(original, name, forget):
    result(original, name, forget)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_where_its_scale_is_given_it_reads_the_parts_that_it_is_said_to(original, name):
    """And no validation image, whatever the method."""
    split, blind = (
        forget_split(original, DATA, "class:1"),
        declared(method_class(name), "BLIND", ()),
    )
    closed = guarded(split, split.val, *(getattr(split, part) for part in blind), test=True)
    unlearned(original, name, closed, scaled=True)
    for part in {"forget", "retain"} - {*blind}:
        with pytest.raises(LookedError):
            unlearned(original, name, guarded(split, getattr(split, part)), scaled=True)


def test_every_method_goes_as_far_as_the_same_rule_says():
    ruled = {name for name in METHODS if issubclass(method_class(name), Stopping)}
    assert set(METHODS) - ruled <= {"retrain", *CONTROLS}


@pytest.mark.parametrize(
    "forget", mostly_slow(["class:3", "random:10%", "random:1"], "class:3", "random:1")
)
def test_by_default_no_method_overshoots_or_ends_farther_than_it_began(original, name, forget):
    """Told by a criterion of the test's: means over all samples, and classes written out."""
    if not issubclass(method_class(name), Stopping):
        pytest.skip("it does not follow the rule")
    split = forget_split(original, DATA, forget)
    found = result(original, name, forget)

    def mean(model, subset, label):
        outputs = predict(model, subset, Run(device="cpu"))
        rows = outputs.labels == label
        values = outputs.right.double() if forget == "class:3" else outputs.confidence()
        return 100 * float(values[rows].mean())

    def excess(model):
        labels = split.forget_set.labels.tolist()
        wanted = {
            label: 0.0 if forget == "class:3" else mean(original.model, split.val_set, label)
            for label in set(labels)
        }
        known = {label: mean(model, split.forget_set, label) for label in wanted}
        return sum(known[label] - wanted[label] for label in labels) / len(labels)

    before, after = excess(original.model), excess(found.model)
    retained = [
        predict(one.model, split.retain_set, Run(device="cpu")).accuracy()
        for one in (original, found)
    ]
    if not issubclass(method_class(name), FineTuning):  # these end with the nearest epoch
        assert after >= min(before, -OVERSHOOT) - 1e-6
    assert abs(after) <= max(abs(before), OVERSHOOT) + 1e-6
    assert retained[1] >= retained[0] - method(name).max_accuracy_drop - 1e-6


@pytest.mark.parametrize("name", [one for one in METHODS if not method_class(one).iterative])
@pytest.mark.parametrize("training", [True, False])
def test_what_works_in_one_go_leaves_mode_and_flags_as_they_are(original, name, training):
    checkpoint = copy.deepcopy(original)
    checkpoint.model.train(training)
    method(name).unlearn(checkpoint, forget_split(original, DATA, "class:1"), Run(device="cpu"))
    assert checkpoint.model.training is training
    assert all(one.requires_grad and one.grad is None for one in checkpoint.model.parameters())


@pytest.mark.parametrize("scaled", mostly_slow([True, False], True))
def test_a_forget_set_of_one(original, name, scaled):
    """Of a class of which there is no other, so that it is for every method."""
    split = forget_split(original, DATA, "class:3")
    lonely = dataclasses.replace(split, forget=split.forget[:1])
    checkpoint = unlearned(original, name, lonely, scaled=scaled)
    assert torch.isfinite(weights(checkpoint)).all()


def test_a_forget_set_of_one_of_many_of_its_class(original, name):
    checkpoint = result(original, name, "random:1")
    assert torch.isfinite(weights(checkpoint)).all()


def test_a_class_without_a_validation_image(original, name):
    whole = method_class(name).classes_only
    split = forget_split(original, DATA, "class:3" if whole else "random:10")
    labels, run = DATA.train.labels.numpy(), Run(device="cpu")
    unseen = split.val[labels[split.val] != labels[split.forget[0]]]
    checkpoint = copy.deepcopy(original)
    method(name).unlearn(checkpoint, dataclasses.replace(split, val=unseen), run)
    assert torch.isfinite(weights(checkpoint)).all()
    told = any("of classes without a validation image" in note for note in run.notes)
    assert told == (issubclass(method_class(name), Stopping) and not whole)


def test_a_retain_set_of_one(original, name):
    parts = original.spec.split(DATA)
    split = ForgetSplit.of(DATA, parts, parts.train[1:])
    checkpoint = unlearned(original, name, split)
    assert torch.isfinite(weights(checkpoint)).all()


def test_a_mask_of_one_kept_weight(original, name):
    kept = {key: torch.zeros_like(original.mask[key]) for key in original.mask}
    first = next(iter(kept))
    kept[first][(0,) * kept[first].dim()] = True
    model = copy.deepcopy(original.model)
    mask = Mask(kept)
    mask.apply(model)
    lonely = Checkpoint(model, mask, original.spec)
    checkpoint = unlearned(lonely, name, forget_split(original, DATA, "random:10"))
    parameters = dict(checkpoint.model.named_parameters())
    assert sum(int(parameters[key].count_nonzero()) for key in mask) <= 1


# A transformer, and a network of which a part is fixed.
KINDS = [f"{TRANSFORMER} 0.0", f"{TRANSFORMER} 0.95", "fastnet 0.95"]


@pytest.fixture(scope="module", params=mostly_slow(KINDS, f"{TRANSFORMER} 0.95"))
def other(request):
    arch, rate = request.param.split()
    recipe = make_recipe(DATA, arch=arch, rate=float(rate), epochs=2, train_size=100)
    return train_original(DATA, recipe, Run(device="cpu"))


def test_other_networks_too(other, name):
    """What is fixed in a network stays."""
    checkpoint = unlearned(other, name, forget_split(other, DATA, "class:3"), scaled=True)
    assert not torch.equal(weights(checkpoint), weights(other))
    assert torch.isfinite(weights(checkpoint)).all()
    for key in checkpoint.mask:
        assert not checkpoint.model.get_parameter(key)[~checkpoint.mask[key]].any()
    for key, fixed in checkpoint.model.named_buffers():
        # Retrain's is that of its data; prq rounds the whole network.
        if key.endswith("weight") and name not in ("retrain", "prq"):
            assert torch.equal(fixed, other.model.get_buffer(key))


def test_the_original_is_part_of_the_spec(original):
    assert original.spec == Spec(DataSpec.of(DATA), original.spec.recipe, history=("pruned",))
