"""Nothing changes nothing."""

import copy

from mu.checkpoints import forget_split
from mu.data import load_data
from mu.methods import make_method
from mu.originals.train import make_recipe, train_original
from mu.runs import Run

DATA = load_data("digits")
BLIND = ("forget", "retain")


def test_the_network_is_the_original():
    recipe = make_recipe(DATA, rate=0.5, epochs=1, train_size=100)
    original = train_original(DATA, recipe, Run(device="cpu"))
    checkpoint, run = copy.deepcopy(original), Run(device="cpu")
    make_method("nothing").unlearn(checkpoint, forget_split(original, DATA, "class:3"), run)
    assert checkpoint.fingerprint == original.fingerprint
    assert checkpoint.mask == original.mask
    assert run.samples_seen == 0
