"""A logit mask hides a class and changes nothing else."""

import copy
from dataclasses import replace

import pytest
import torch

from mu.checkpoints import Checkpoint, forget_split
from mu.data import load_data
from mu.errors import UserError
from mu.evaluation.controls import logit_masked
from mu.evaluation.unlearning import measure, predict_split
from mu.masks import Mask
from mu.methods import make_method
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from tests.helpers import refused
from tests.methods.networks import HEADLESS, TIED_TOP

DATA = load_data("digits")
BLIND = ("forget", "retain")


@pytest.fixture(scope="module")
def original():
    recipe = make_recipe(DATA, rate=0.5, epochs=4, train_size=200)
    return train_original(DATA, recipe, Run(device="cpu"))


def unlearned(original, name, split):
    checkpoint, run = copy.deepcopy(original), Run(device="cpu")
    make_method(name).unlearn(checkpoint, split, run)
    return checkpoint, run


def test_the_method_is_the_control_that_tables_show(original):
    split, run = forget_split(original, DATA, "class:3"), Run(device="cpu")
    checkpoint, _ = unlearned(original, "logit_mask", split)
    expected = logit_masked(predict_split(original.model, split, run), [3])
    found = measure(predict_split(checkpoint.model, split, run), seed=0)
    assert expected is not None
    assert found == measure(expected, seed=0)
    assert found["UA"] == found["MIA"] == 100


def test_only_the_row_of_the_class_changes(original):
    checkpoint, _ = unlearned(original, "logit_mask", forget_split(original, DATA, "class:3"))
    before, after = original.model.state_dict(), checkpoint.model.state_dict()
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == {"fc.weight", "fc.bias"}
    others = [row for row in range(10) if row != 3]
    for name in changed:
        assert torch.equal(before[name][others], after[name][others])
    assert not after["fc.weight"][3].any()


def test_a_network_without_a_head_of_its_own_has_no_output_to_hide(original):
    split = forget_split(original, DATA, "class:3")
    for arch, words in ((HEADLESS, "'2' (Flatten)"), (TIED_TOP, "shares its weights with 'left'")):
        model = original.spec.recipe.model.replace(arch=arch)
        recipe = replace(original.spec.recipe, model=model)
        spec = replace(original.spec, recipe=recipe)
        checkpoint = Checkpoint(model.build(0), Mask({}), spec)
        with refused("method=logit_mask", words, "method=nothing"):
            make_method("logit_mask").unlearn(checkpoint, split, Run(device="cpu"))


def test_samples_have_no_output_to_hide(original):
    with pytest.raises(UserError, match="forget=class:3"):
        unlearned(original, "logit_mask", forget_split(original, DATA, "random:10"))
