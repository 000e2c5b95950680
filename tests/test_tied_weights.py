"""Networks whose layers share weights, through everything that binds to a name or writes a file."""

import copy
from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from mu.checkpoints import Checkpoint, DataSpec, Spec, forget_split
from mu.data import load_data
from mu.foreign.originals import import_original
from mu.masks import Mask
from mu.methods import METHODS, make_method, method_class
from mu.models import ModelSpec
from mu.models.head import features, own_head
from mu.models.shared import second_names
from mu.originals.train import train_original
from mu.pruning import PRUNERS, make_pruner
from mu.recipes.recipe import Rewinding
from mu.runs import Run
from mu.training.progress import Progress
from tests.helpers import (
    bits,
    make_dataset,
    make_recipe,
    prunable,
    random_mask,
    refused,
    same_masks,
)
from tests.methods.networks import OVERLAPPING, TIED, TIED_ONCE, TIED_TOP
from tests.methods.small import small

DATA = make_dataset(train=36, test=9)
MODULE = TIED.partition(":")[0]
SHARED = {
    TIED: {"left.weight": ["right.weight"], "block.0.weight": ["again.0.weight"]},
    TIED_TOP: {"left.weight": ["right.weight", "top.weight"], "block.0.weight": ["again.0.weight"]},
}


@pytest.fixture(autouse=True)
def trusted(monkeypatch):
    monkeypatch.setenv("MU_TRUST", MODULE)


def tied_recipe(arch, **changes):
    recipe = make_recipe(DATA)
    return replace(recipe, model=recipe.model.replace(arch=arch), **changes)


def checkpoint_of(arch, kept=0.5):
    recipe = tied_recipe(arch)
    model = recipe.model.build(3)
    with torch.no_grad():
        model.train()(DATA.train.pixels.float() / 255)
    mask = random_mask(model, prunable(model), kept=kept)
    mask.apply(model)
    return Checkpoint(model.eval(), mask, Spec(DataSpec.of(DATA), recipe, history=("pruned",)))


def check_tied(checkpoint, arch):
    """Each name of a shared weight holds the same numbers, and what is pruned is zero in all."""
    state = checkpoint.model.state_dict()
    for name, others in SHARED[arch].items():
        for other in others:
            assert torch.equal(state[name], state[other])
            if name in checkpoint.mask:
                assert not bits(state[other][~checkpoint.mask[name]]).any()
    first, second = (getattr(checkpoint.model, name).weight for name in ("left", "right"))
    assert first is second
    assert checkpoint.model.again is checkpoint.model.block


# --- masks and files ----------------------------------------------------------------------


def test_what_can_be_pruned_is_named_once_and_never_by_a_further_name():
    names = {"stem.weight", "block.0.weight", "left.weight"}
    for arch in (TIED, TIED_ONCE):
        assert set(prunable(tied_recipe(arch).model.build(0))) == names
    top = tied_recipe(TIED_TOP).model.build(0)
    assert set(prunable(top)) == names - {"left.weight"}  # the head's
    assert set(prunable(top, "head")) == names
    assert second_names(top)["top.weight"] == second_names(top)["right.weight"] == "left.weight"
    assert second_names(tied_recipe(TIED_ONCE).model.build(0)) == {"right.weight": "left.weight"}
    assert second_names(ModelSpec("resnet_mini", 3, 1).build(0)) == {}


@pytest.mark.parametrize("arch", [TIED, TIED_TOP])
def test_a_checkpoint_is_saved_and_loaded_and_stays_tied(arch, tmp_path):
    checkpoint = checkpoint_of(arch)
    checkpoint.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    assert loaded.fingerprint == checkpoint.fingerprint
    assert same_masks(loaded.mask, checkpoint.mask)
    check_tied(loaded, arch)
    assert copy.deepcopy(checkpoint).fingerprint == checkpoint.fingerprint


def test_the_fingerprint_is_of_every_weight():
    one, other = checkpoint_of(TIED), checkpoint_of(TIED)
    with torch.no_grad():
        other.model.right.weight[0, 0] += 1
    assert one.fingerprint != other.fingerprint


def test_the_progress_of_a_training_is_kept():
    checkpoint = checkpoint_of(TIED)
    state = checkpoint.model.state_dict()
    progress = Progress(0, 1, state, {}, state, checkpoint.mask)
    found, _ = Progress.from_bytes(progress.to_bytes({}))
    for part in (found.weights, found.rewind):
        assert part.keys() == state.keys()
        assert all(torch.equal(value, state[name]) for name, value in part.items())


def test_features_and_head():
    checkpoint = checkpoint_of(TIED)
    subset = DATA.test_subset()
    found = features(checkpoint.model, subset, Run(device="cpu"))
    assert found.shape == (9, 6)
    assert own_head(checkpoint.model, torch.randn(2, 1, 8, 8)).name == "top"
    with refused("'top' shares its weights with 'left'"):
        own_head(checkpoint_of(TIED_TOP).model, torch.randn(2, 1, 8, 8))


def test_different_parameters_in_the_same_memory_are_refused():
    with refused(OVERLAPPING, "'left.weight'", "'right.weight'", "same memory", "nn.Parameter"):
        tied_recipe(OVERLAPPING).model.build(0)


# --- training, pruning, unlearning --------------------------------------------------------


@pytest.mark.parametrize("settings", [{"pruner": "omp"}, {"pruner": "imp", "rewind": "pt"}])
def test_an_original_is_trained_pruned_and_rewound(settings):
    recipe = tied_recipe(
        TIED,
        pruner=settings["pruner"],
        pruning={"rate": 0.5, "rounds": 1 if settings["pruner"] == "omp" else 2},
        rewinding=Rewinding(settings.get("rewind", "rewind_lt")),
    )
    found = train_original(DATA, recipe, Run(device="cpu"))
    check_tied(found, TIED)
    assert found.mask.kept == round(found.mask.total * 0.5 ** recipe.make_pruner().rounds)


@pytest.mark.parametrize("name", sorted(PRUNERS))
@pytest.mark.parametrize("scope", ["body", "all"])
def test_a_pruner_scores_a_block_of_two_names_as_one_that_is_called_twice(name, scope):
    """The same network, and the same mask, but for the names that the first one has besides."""
    known = {"samples": 9, "iterations": 3, "scope": scope, "rate": 0.6}
    masks = []
    for arch in (TIED, TIED_ONCE):
        spec = tied_recipe(arch).model
        model = spec.build(3)
        pruner = make_pruner(name)
        pruner = pruner.replace(**{k: v for k, v in known.items() if k in pruner.names()})
        data = DATA.training_subset(forget_split(checkpoint_of(arch), DATA, "random:5").retain)
        dense = Mask.dense(model, prunable(model, scope))
        masks.append(pruner.prune(model, dense, data, Run(device="cpu"), seed=1))
    assert same_masks(*masks)
    assert 0 < masks[0].kept < masks[0].total


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize(("arch", "forget"), [(TIED, "class:1"), (TIED_TOP, "random:9")])
def test_a_method_unlearns_and_leaves_weights_tied(name, arch, forget, tmp_path):
    if name == "logit_mask" and arch == TIED_TOP:
        pytest.skip("it needs a class, and a head of its own: tests/methods/test_logit_mask.py")
    if method_class(name).classes_only and not forget.startswith("class"):
        pytest.skip("it is refused")
    checkpoint = checkpoint_of(arch)
    before = checkpoint.fingerprint
    split = forget_split(checkpoint, DATA, forget)
    make_method(name, small(name, scaled=True)).unlearn(checkpoint, split, Run(device="cpu"))
    check_tied(checkpoint, arch)
    assert (checkpoint.fingerprint == before) == (name == "nothing")
    assert all(one.isfinite().all() for one in checkpoint.model.parameters())
    checkpoint.save(tmp_path)
    assert Checkpoint.load(tmp_path).fingerprint == checkpoint.fingerprint


# --- imported files -----------------------------------------------------------------------


DIGITS = load_data("digits")


def foreign_state():
    return ModelSpec(TIED, 10, 1, image_size=8).build(5).state_dict()


def imported(tmp_path, tensors):
    path = tmp_path / "weights.safetensors"
    save_file({name: one.clone() for name, one in tensors.items()}, path)
    return import_original(path, DIGITS, arch=TIED, epochs=2).checkpoint


@pytest.mark.parametrize("gone", [(), ("right.weight",), ("left.weight", "block.0.weight")])
def test_a_file_may_hold_a_shared_weight_under_any_of_its_names(tmp_path, gone):
    state = foreign_state()
    found = imported(tmp_path, {n: v for n, v in state.items() if n not in gone})
    assert all(torch.equal(value, state[n]) for n, value in found.model.state_dict().items())
    check_tied(found, TIED)


def test_a_file_whose_names_of_a_shared_weight_differ_is_refused(tmp_path):
    state = foreign_state()
    with refused("'right.weight' and 'left.weight' are one parameter", "differ in the file"):
        imported(tmp_path, {**state, "right.weight": state["right.weight"] + 1})


def test_a_mask_of_a_further_name_is_that_of_the_weight(tmp_path):
    """As torch.nn.utils.prune leaves it, of one use of a weight or of both."""
    state = foreign_state()
    first = torch.rand(6, 6, generator=torch.Generator().manual_seed(1)) < 0.7
    second = torch.rand(6, 6, generator=torch.Generator().manual_seed(2)) < 0.7
    masks = {"left.weight_mask": first.float(), "right.weight_mask": second.float()}
    found = imported(tmp_path, {**state, **masks})
    assert torch.equal(found.mask["left.weight"], first & second)
    assert "right.weight" not in found.mask
    check_tied(found, TIED)
