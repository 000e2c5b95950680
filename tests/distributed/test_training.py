"""Two processes do what one does with the same batches, to rounding."""

from __future__ import annotations

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mu.checkpoints import Checkpoint
from mu.data.forget import ForgetSplit
from mu.data.images import ImageDataset
from mu.distributed import everywhere
from mu.evaluation.outputs import predict
from mu.evaluation.reductions import REDUCTIONS
from mu.evaluation.unlearning import evaluate
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.fisher.mean import mean_gradient
from mu.methods import METHODS, make_method
from mu.methods.base import unlearn
from mu.originals.train import make_recipe, train_original
from mu.runs import Run
from mu.training.loop import train
from mu.training.objective import synchronised
from mu.training.progress import FolderKeeper
from mu.training.recipe import Training
from mu.transfer.verb import transfer_training, transferred
from tests.distributed.verbs import IDLE, NORMALISED, SMOOTH
from tests.helpers import make_dataset, refused
from tests.methods.small import small

pytestmark = pytest.mark.slow
CLOSE = {"rtol": 1e-9, "atol": 1e-11}  # rounding of float64 over some dozens of steps


def run_of(devices: int) -> Run:
    return Run(device="cpu", devices=devices, show_progress=False, seed=5)


def data_of(train: int = 61) -> ImageDataset:
    # Under a name that has defaults.
    return replace(make_dataset(train=train, test=21, size=12), name="digits")


def made(devices: int, data: ImageDataset, **settings) -> tuple[Checkpoint, Run]:
    asked = {"arch": SMOOTH, "epochs": 2, "batch_size": 8, "lr": 0.05, "rate": 0.0, **settings}
    run = run_of(devices)
    return train_original(data, make_recipe(data, **asked), run), run


def assert_close(one: nn.Module, other: nn.Module, **tolerance: float) -> None:
    ours, theirs = one.state_dict(), other.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        torch.testing.assert_close(value, theirs[name], **(tolerance or CLOSE))


def change(one: nn.Module, other: nn.Module) -> float:
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return max(float((a - b).detach().abs().max()) for a, b in pairs)


WAYS = {
    "plain": {},
    "augmented": {"augment": "crop_flip"},
    "sparse": {"rate": 0.7, "rewind_epoch": 1},
    "iterated": {"pruner": "imp", "rate": 0.4, "rounds": 2},
    "before training": {"pruner": "snip", "rate": 0.5},
    "adamw": {"optimizer": "adamw", "lr": 1e-3, "weight_decay": 0.1},
    "label smoothing": {"label_smoothing": 0.1},
    "sam": {"sam_rho": 0.05},
    "adaptive sam": {"sam_rho": 1.0, "sam_adaptive": True, "rate": 0.5},
    "large batches": {"batch_size": 61},
    "batches of two": {"batch_size": 2},
    "warm-up": {"warmup": 1, "schedule": "cosine"},
}


@pytest.mark.parametrize("way", WAYS)
def test_an_original_is_the_same_by_two_processes(way):
    data, settings = data_of(), {"augment": "none", **WAYS[way]}
    (one, alone), (two, shared) = (made(devices, data, **settings) for devices in (1, 2))
    assert_close(one.model, two.model)
    assert one.mask == two.mask
    initial = one.spec.recipe.model.build(one.spec.recipe.seed)
    assert change(one.model, initial) > 1e-3, "nothing was learnt: the test could not fail"
    assert shared.samples_seen == alone.samples_seen
    assert [(r.name, r.step) for r in shared.records] == [(r.name, r.step) for r in alone.records]
    for ours, theirs in zip(shared.records, alone.records, strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-5), ours


def test_more_processes_than_a_batch_has_samples():
    data = data_of(train=9)
    (one, _), (three, _) = (made(devices, data, batch_size=2, lr=0.1) for devices in (1, 3))
    assert_close(one.model, three.model)


def test_parameters_that_play_no_part_are_no_trouble():
    data = data_of()
    (one, _), (two, _) = (made(devices, data, arch=IDLE) for devices in (1, 2))
    assert_close(one.model, two.model)


@everywhere
def weights_of_ranks(run: Run, data: ImageDataset, arch: str) -> list[torch.Tensor]:
    """All weights and buffers of each rank's own copy, and its mask, after a training."""
    recipe = make_recipe(data, arch=arch, epochs=2, batch_size=8, rate=0.6, rewind_epoch=1)
    made = train_original(data, recipe, run)
    values = [one.double().reshape(-1) for one in made.model.state_dict().values()]
    values += [made.mask[name].double().reshape(-1) for name in made.mask]
    whole = torch.cat(values)[None]
    return list(run.ranks.gather(whole, run.ranks.size))


@pytest.mark.parametrize("arch", [SMOOTH, NORMALISED])
def test_all_ranks_end_with_the_same_weights_statistics_and_masks(arch):
    one, two = weights_of_ranks(run_of(2), data_of(), arch)
    assert torch.equal(one, two)


def test_running_statistics_are_those_of_all_ranks():
    """Each rank's batches have statistics of their own; the mean of both is what is kept."""
    data = data_of()
    (one, _), (two, _) = (
        made(devices, data, arch=NORMALISED, lr=1e-9, epochs=30) for devices in (1, 2)
    )
    ours, theirs = (dict(one.model.named_buffers()) for one in (two, one))
    # The network hardly moves, so both have seen the same signals, in batches of 4 and of 8.
    torch.testing.assert_close(
        ours["1.running_mean"], theirs["1.running_mean"], rtol=1e-2, atol=1e-2
    )
    assert int(ours["1.num_batches_tracked"]) == int(theirs["1.num_batches_tracked"])


# --- unlearning ---------------------------------------------------------------------------

# Every method with settings of a short run; these say more.
WAYS = {
    **{name: small(name, scaled=True) for name in METHODS},
    "ft": {"lr": 0.02, "epochs": 2},
    "retrain, its own mask": {"mask_from": "retain"},
    "l1_sparse": {"lr": 0.02, "alpha": 1e-3, "epochs": 2},
    "l1_sparse, exact zeros": {"lr": 0.02, "alpha": 1e-2, "exact_zeros": True, "epochs": 2},
    "ga": {"lr": 0.01, "epochs": 3},
    "iu": {"alpha": 0.5},
    "ff": {"alpha": 1e-3, "fisher_labels": "exact"},
}


@pytest.fixture(scope="module")
def sparse() -> tuple[ImageDataset, Checkpoint]:
    data = data_of()
    return data, made(1, data, rate=0.5, epochs=3)[0]


def unlearnt(devices, original, split, name, settings) -> tuple[Checkpoint, Run]:
    checkpoint, run = copy.deepcopy(original), run_of(devices)
    unlearn(make_method(name, settings), checkpoint, split, run)
    return checkpoint, run


@pytest.mark.parametrize("way", WAYS)
def test_what_is_unlearnt_is_the_same_by_two_processes(sparse, way):
    data, original = sparse
    split = ForgetSplit.of(data, original.spec.split(data), original.spec.split(data).train[:7])
    name = way.partition(",")[0]
    (one, alone), (two, shared) = (
        unlearnt(devices, original, split, name, WAYS[way]) for devices in (1, 2)
    )
    assert_close(one.model, two.model)
    assert one.mask == two.mask
    assert change(one.model, original.model) > 1e-4
    assert shared.samples_seen == alone.samples_seen
    assert shared.notes == alone.notes
    for weight, kept in ((two.model.get_parameter(n), two.mask[n]) for n in two.mask):
        assert not weight[~kept].any()


@pytest.mark.parametrize("tune", ["head", "all"])
def test_a_transfer_is_the_same_by_two_processes(sparse, tune):
    _, original = sparse
    target = replace(make_dataset(train=31, classes=2, size=12, seed=9), name="digits")
    training = transfer_training("digits", tune, epochs=2, batch_size=8)
    one, two = (
        transferred(original, target, training, run_of(devices), tune=tune) for devices in (1, 2)
    )
    assert_close(one.model, two.model)
    assert change(one.model.first, original.model.first) == 0 if tune == "head" else True
    assert one.spec == two.spec


def test_the_rule_of_spend_decides_alike_in_all_ranks(sparse):
    data, original = sparse
    split = ForgetSplit.of(data, original.spec.split(data), original.spec.split(data).train[:7])
    (one, _), (two, _) = (
        unlearnt(devices, original, split, "ga", {"epochs": 4, "spend": 50.0}) for devices in (1, 2)
    )
    assert_close(one.model, two.model)


def test_evaluation_sees_every_sample_once(sparse):
    data, original = sparse
    parts = original.spec.split(data)
    split = ForgetSplit.of(data, parts, parts.train[:7])
    for subset in (split.forget_set, split.retain_set, data.test_subset(np.array([4]))):
        one, two = (predict(original.model, subset, run_of(devices)) for devices in (1, 2))
        torch.testing.assert_close(one.logits, two.logits, rtol=1e-6, atol=1e-7)
        assert torch.equal(one.labels, two.labels)
        few = [predict(original.model, subset, run_of(n), most_logits=1) for n in (1, 2)]
        assert not any(outputs.has_logits for outputs in few)
        for name in REDUCTIONS:
            ours, theirs = (outputs.score(name) for outputs in few)
            assert ours.dtype == theirs.dtype
            torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=1e-7)
    alone, shared = (evaluate(original.model, split, run_of(devices)) for devices in (1, 2))
    assert alone == pytest.approx(shared)


def test_it_goes_on_with_another_number_of_processes(tmp_path):
    """What two processes kept after an epoch, one goes on with; and the other way round."""
    data = data_of()
    whole, _ = made(1, data, epochs=4, rate=0.5, rewind_epoch=1)
    for first, then in ((2, 1), (1, 2), (2, 3)):
        keeper = Stopping(tmp_path / f"{first}-{then}", epochs=2)
        recipe = whole.spec.recipe
        with pytest.raises(KeyboardInterrupt):
            train_original(data, recipe, run_of(first), keeper=keeper)
        keeper.epochs = 100
        resumed = train_original(data, recipe, run_of(then), keeper=keeper)
        assert_close(resumed.model, whole.model)
        assert resumed.mask == whole.mask


class Stopping(FolderKeeper):
    """Is interrupted once so many epochs are kept."""

    def __init__(self, folder, epochs: int) -> None:
        super().__init__(folder, {})
        self.epochs, self.kept = epochs, 0

    def save(self, progress) -> None:
        super().save(progress)
        self.kept += 1
        if self.kept >= self.epochs:
            raise KeyboardInterrupt


# --- oracles for the parts ----------------------------------------------------------------


@everywhere
def one_step(run: Run, data: ImageDataset, settings: dict, rows: np.ndarray) -> nn.Module:
    model = make_recipe(data, arch=SMOOTH).model.build(3)
    train(model, data.training_subset(rows), Training(**settings), run)
    return model


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_a_step_is_the_plain_gradient_of_the_whole_batch(count):
    """An oracle without any loop: w - lr * gradient of the mean over the batch."""
    data = data_of()
    settings = {"epochs": 1, "lr": 0.5, "batch_size": count, "momentum": 0.0, "weight_decay": 0.0,
                "augment": "none", "schedule": "constant"}  # fmt: skip
    rows = np.arange(count)
    found = one_step(run_of(2), data, settings, rows)
    model = make_recipe(data, arch=SMOOTH).model.build(3)
    images = (data.train.pixels[rows].float() / 255 - data.mean[0]) / data.std[0]
    loss = F.cross_entropy(model(images), data.train.labels[rows])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
        right = weight.detach() - 0.5 * gradient
        torch.testing.assert_close(found.get_parameter(name).detach(), right, rtol=1e-6, atol=1e-8)


@everywhere
def information(run: Run, data: ImageDataset, labels: str) -> list[torch.Tensor]:
    model = make_recipe(data, arch=SMOOTH).model.build(3)
    rows = data.training_subset(np.arange(5))
    from mu.masks import Mask

    free = FreeWeights(model, Mask.dense(model, []))
    return [*diagonal(model, rows, run, labels=labels), mean_gradient(model, free, rows, run)]


def test_fisher_information_and_gradients_are_of_all_ranks_samples():
    data = data_of()
    for one, two in zip(
        *(information(run_of(devices), data, "exact") for devices in (1, 2)), strict=True
    ):
        torch.testing.assert_close(one, two)
        assert bool(two.any())


def test_more_processes_than_samples_of_the_fisher_information():
    data = data_of()
    one, many = (information(run_of(devices), data, "exact") for devices in (1, 3))
    for ours, theirs in zip(one, many, strict=True):
        torch.testing.assert_close(ours, theirs)


# --- synchronised batch normalisation -----------------------------------------------------


def test_synchronised_normalisation_keeps_every_tensor_and_is_undone():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()))
    before = list(model.modules())
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    with synchronised(model):
        inner = model[1][0]
        assert isinstance(inner, nn.SyncBatchNorm)
        inside = dict([*model.named_parameters(), *model.named_buffers()])
        assert inside.keys() == tensors.keys()
        assert all(inside[name] is tensors[name] for name in tensors)
    assert list(model.modules()) == before
    assert all(one is other for one, other in zip(model.modules(), before, strict=True))


def test_a_loss_that_is_no_number_ends_all_ranks():
    with refused("the loss became", "lower lr"):
        made(2, data_of(), lr=1e300, epochs=3)
