"""One contract suite over every method: interrupted and gone on with, nothing is different."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from mu.checkpoints import Checkpoint, forget_split
from mu.data import load_data
from mu.methods import METHODS, make_method, method_class
from mu.methods.passes import Passes
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.training.progress import Progress
from tests.helpers import mostly_slow, refused
from tests.methods.small import small
from tests.training.networks import DROPPING

DATA = load_data("digits")
EPOCHS = 3
ITERATIVE = sorted(name for name in METHODS if method_class(name).iterative)
AT_ONCE = sorted(set(METHODS) - set(ITERATIVE))
VARIANTS = {
    **{name: (name, small(name)) for name in ITERATIVE},
    "retrain, mask anew": ("retrain", {"mask_from": "retain"}),
    "l1_sparse, alpha": ("l1_sparse", {"alpha": 1e-3}),
    "l1_sparse, exact zeros": ("l1_sparse", {"exact_zeros": True}),
    "ft, adam": ("ft", {"optimizer": "adam"}),
    "boundary, expand": ("boundary", {"variant": "expand"}),
    "boundary, expand, lr": ("boundary", {"variant": "expand", "lr": 1e-3}),
    "amun, lr": ("amun", {"lr": 1e-3, **small("amun")}),
    "unsir, lr": ("unsir", {"lr": 0.01, "noise_images": 4, "noise_copies": 3}),
}
# Of methods that differ in their passes alone, one stands for the others in the quick set.
ALIKE = [name for name in ITERATIVE if issubclass(method_class(name), Passes)]
EACH = mostly_slow(VARIANTS, *(one for one in VARIANTS if one not in ALIKE[1:]))
CASES = mostly_slow(
    [(kind, one) for one in VARIANTS for kind in ("dense", "sparse")],
    *((kind, one) for one in VARIANTS for kind in ("dense", "sparse")[one in ALIKE :]),
)


class Interrupted(BaseException):
    """Stands for whatever ends a process."""


class Kept:
    """A checkpointer of one file, and what was written to it; ends the process after ``most``."""

    def __init__(self, content: bytes | None = None, most: int | None = None) -> None:
        self.content, self.most, self.saved = content, most, list[bytes]()

    def save(self, progress: Progress) -> None:
        self.content = progress.to_bytes({})
        self.saved.append(self.content)
        if len(self.saved) == self.most:
            raise Interrupted

    def last(self) -> Progress | None:
        return None if self.content is None else Progress.from_bytes(self.content)[0]


@pytest.fixture(scope="module", params=mostly_slow(["dense", "sparse"], "sparse"))
def original(request: pytest.FixtureRequest) -> Checkpoint:
    """Small, with dropout; the sparse one is pruned, rewound and trained again, twice."""
    sparse = {"pruner": "imp", "rate": 0.5, "rounds": 2, "rewind_epoch": 1}
    pruning = sparse if request.param == "sparse" else {"rate": 0.0}
    recipe = make_recipe(DATA, arch=DROPPING, epochs=EPOCHS, train_size=120, **pruning)
    return train_original(DATA, recipe, Run(device="cpu", seed=1))


class Outcome:
    """A method, let loose on a copy of the original."""

    def __init__(
        self, original: Checkpoint, variant: str, checkpointer: Kept | None = None
    ) -> None:
        name, settings = VARIANTS[variant]
        short = {"epochs": EPOCHS} if "epochs" in method_class(name).names() else {}
        self.checkpoint, self.run = copy.deepcopy(original), Run(device="cpu", seed=7)
        split = forget_split(original, DATA, "class:3")
        method = make_method(name, {**settings, **short})
        method.unlearn(self.checkpoint, split, self.run, checkpointer)

    def check(self, whole: Outcome) -> None:
        """It is what it would have been without an interruption."""
        mine, other = (one.checkpoint.model.state_dict() for one in (self, whole))
        assert mine.keys() == other.keys()
        for name, tensor in mine.items():
            assert torch.equal(tensor, other[name]), name
        assert self.checkpoint.mask == whole.checkpoint.mask
        assert self.run.records == whole.run.records
        assert self.run.notes == whole.run.notes
        assert self.run.samples_seen == whole.run.samples_seen > 0


WHOLE: dict[tuple[int, str], tuple[Checkpoint, Outcome]] = {}


def uninterrupted(original: Checkpoint, variant: str) -> Outcome:
    """Made once; with the original, so that no other one gets its number."""
    if (id(original), variant) not in WHOLE:
        WHOLE[id(original), variant] = original, Outcome(original, variant)
    return WHOLE[id(original), variant][1]


@pytest.mark.parametrize(("original", "variant"), CASES, indirect=["original"])
def test_interrupted_after_any_epoch(original: Checkpoint, variant: str) -> None:
    """What a process kept is what one had kept that ended there."""
    whole, told = uninterrupted(original, variant), Kept()
    Outcome(original, variant, told).check(whole)  # keeping changes nothing
    assert told.saved
    for place, content in enumerate(told.saved, 1):
        after = Kept(content)
        Outcome(original, variant, after).check(whole)
        assert len(after.saved) == len(told.saved) - place  # no epoch is trained twice


@pytest.mark.parametrize("variant", EACH)
def test_each_epoch_in_a_process_of_its_own(original: Checkpoint, variant: str) -> None:
    whole, checkpointer = uninterrupted(original, variant), Kept(most=1)
    processes, seconds = 1, [0.0]
    while True:
        try:
            Outcome(original, variant, checkpointer).check(whole)
            break
        except Interrupted:
            processes += 1
        progress = checkpointer.last()
        assert progress is not None
        seconds.append(progress.seconds)
        checkpointer = Kept(checkpointer.content, most=1)
    assert processes > 1
    assert seconds == sorted(set(seconds))  # they add up


@pytest.mark.parametrize("name", ["ft", "l1_sparse"])
def test_seconds_and_momentum_are_taken_over(original: Checkpoint, name: str) -> None:
    checkpointer = Kept(most=2)
    with pytest.raises(Interrupted):
        Outcome(original, name, checkpointer)
    progress = checkpointer.last()
    assert progress is not None
    assert {one.rpartition("/")[2] for one in progress.optimizer} == {"momentum_buffer"}
    assert (
        Outcome(original, name, Kept(checkpointer.content)).run.seconds_before
        == progress.seconds
        > 0
    )


def test_progress_of_another_network_is_refused(original: Checkpoint) -> None:
    checkpointer = Kept(most=1)
    with pytest.raises(Interrupted):
        Outcome(original, "ft", checkpointer)
    other = train_original(
        DATA, make_recipe(DATA, epochs=1, train_size=100, rate=0.0), Run(device="cpu")
    )
    with refused("does not fit the network", "start it anew"):
        Outcome(other, "ft", Kept(checkpointer.content))


@pytest.mark.parametrize("name", AT_ONCE)
def test_what_works_in_one_go_has_no_use_for_a_checkpointer(
    original: Checkpoint, name: str
) -> None:
    class Unused:
        def save(self, progress: Any) -> None:
            raise AssertionError

        last = save

    one, other = copy.deepcopy(original), copy.deepcopy(original)
    split = forget_split(original, DATA, "class:3")
    make_method(name).unlearn(one, split, Run(device="cpu", seed=7), Unused())
    make_method(name).unlearn(other, split, Run(device="cpu", seed=7))
    for key, tensor in one.model.state_dict().items():
        assert torch.equal(tensor, other.model.state_dict()[key]), key
