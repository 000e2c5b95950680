"""What is done on a GPU: as on the CPU, to rounding; without a wait inside a step; in bf16 too."""

from __future__ import annotations

import copy
from collections.abc import Iterator

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mu.checkpoints import Checkpoint, forget_split
from mu.cli.requests import Request
from mu.data import load_data
from mu.data.batches import Batches
from mu.devices import check_devices
from mu.evaluation.depth.relearn import Relearning
from mu.evaluation.unlearning import evaluate, predict_split
from mu.fisher import LABELS
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.fisher.inverse import Samples, woodbury
from mu.fisher.mean import mean_gradient
from mu.masks import Mask
from mu.memory import free_bytes
from mu.methods import METHODS, make_method, method_class
from mu.models import ModelSpec
from mu.models.head import features
from mu.originals.train import make_recipe, train_original
from mu.pruning import PRUNERS, make_pruner
from mu.runs import Run, seeded
from mu.tasks.prune import prune
from mu.tasks.unlearn import unlearn
from mu.tracking import Store
from mu.tracking.artifacts import fetch_checkpoint
from mu.training import Training
from mu.training.loop import train
from tests.checkpointers import FolderCheckpointer
from tests.helpers import prunable, random_mask, refused
from tests.methods.small import small as short
from tests.training.networks import small

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")

DEVICE = "cuda"
DATA = load_data("digits")
SETTINGS = {"epochs": 2, "batch_size": 16, "lr": 0.05}
QUICK = {
    "retrain": {},
    "ga": {"epochs": 2, "batch_size": 8, "lr": 0.01},
    "ff": {"alpha": 1e-3},
    "iu": {"fisher_samples": 40, "alpha": 1e-4},
}
PRECISIONS = ["fp32", "bf16"]
MIB = 2**20


@pytest.fixture(autouse=True)
def _fp32_is_fp32() -> Iterator[None]:
    """Convolutions in fp32 are TensorFloat-32's by default, too coarse to compare."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


@pytest.fixture(scope="module", params=[0.0, 0.9], ids=["dense", "sparse"])
def original(request: pytest.FixtureRequest) -> Checkpoint:
    """Trained on the CPU."""
    recipe = make_recipe(DATA, rate=request.param, epochs=4, train_size=120)
    return train_original(DATA, recipe, Run(device="cpu"))


def gpu(precision: str = "fp32", seed: int = 0) -> Run:
    return Run(device=DEVICE, precision=precision, seed=seed, show_progress=False)


def cpu(seed: int = 0) -> Run:
    return Run(device="cpu", seed=seed, show_progress=False)


def both() -> tuple[Run, Run]:
    return gpu(), cpu()


def subset(count=64):
    return DATA.training_subset(np.arange(count))


def vector(model):
    return torch.cat([one.detach().double().cpu().flatten() for one in model.state_dict().values()])


def apart(found, expected):
    """The norm of the difference, relative to that of ``expected``; NaN fails every bound."""
    found, expected = found.detach().double().cpu(), expected.detach().double().cpu()
    return float((found - expected).norm() / expected.norm())


def assert_pruned_are_zero(model, mask):
    parameters = dict(model.named_parameters())
    for name in mask:
        assert not parameters[name].detach().cpu()[~mask[name]].any()


# --- training -----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
@pytest.mark.parametrize("rho", [0.0, 0.05])
@pytest.mark.parametrize("masked", [False, True])
def test_training_ends_where_it_does_on_the_cpu(optimizer, rho, masked):
    settings = {**SETTINGS, "lr": 0.05 if optimizer == "sgd" else 0.005}
    training = Training(**settings, optimizer=optimizer, sam_rho=rho, augment="crop_flip")
    models, start = [], vector(small())
    for run in both():
        model = small()
        mask = random_mask(model, ["conv.weight", "hidden.weight"], kept=0.4) if masked else None
        train(model, subset(), training, run, mask=mask)
        if mask is not None:
            assert_pruned_are_zero(model, mask)
        models.append(model)
    on_gpu, on_cpu = models
    assert next(on_gpu.parameters()).device.type == DEVICE
    assert apart(vector(on_gpu) - start, vector(on_cpu) - start) < 1e-3


@pytest.mark.parametrize("precision", PRECISIONS)
def test_the_same_seed_gives_the_same_bits(precision):
    ends = []
    for _ in range(3):
        model = ModelSpec("resnet18", 10, 1, "cifar").build(0)
        train(model, subset(128), Training(**SETTINGS, augment="crop"), gpu(precision, seed=1))
        ends.append(vector(model))
    assert torch.equal(ends[0], ends[1])
    assert torch.equal(ends[0], ends[2])


def test_batches_are_the_cpus():
    draws = [torch.Generator().manual_seed(1) for _ in range(2)]
    parts = [
        Batches(subset(), 16, run.device, augment="crop_flip").shuffled(one)
        for run, one in zip(both(), draws, strict=True)
    ]
    for (images, labels), (expected, its) in zip(*parts, strict=True):
        assert torch.equal(labels.cpu(), its)
        assert torch.allclose(images.cpu(), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore:Synchronization debug mode")
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("rho", [0.0, 0.05])
@pytest.mark.parametrize("masked", [False, True])
def test_the_host_never_waits_within_an_epoch(precision, rho, masked):
    """From the end of its first step to that of its last, in which torch raises at every wait."""
    training = Training(**SETTINGS, sam_rho=rho, augment="crop_flip")
    model, taken = small(), []
    mask = random_mask(model, ["conv.weight"], kept=0.4) if masked else None

    def after_step(epoch, _rate):
        taken.append(epoch)
        torch.cuda.set_sync_debug_mode("default" if len(taken) % 4 == 0 else "error")

    try:
        train(model, subset(), training, gpu(precision), mask=mask, after_step=after_step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert taken == [0] * 4 + [1] * 4


def test_auto_is_bf16_and_the_network_passes_in_it():
    run, seen = gpu("auto"), []
    model = small()
    model.conv.register_forward_hook(lambda _m, _i, output: seen.append(output.dtype))
    start = vector(model)
    train(model, subset(), Training(**SETTINGS), run)
    assert run.bf16
    assert set(seen) == {torch.bfloat16}
    assert {one.dtype for one in model.parameters()} == {torch.float32}
    assert np.isfinite([value for _, value in run.history("loss")]).all()
    assert vector(model).isfinite().all()
    assert apart(vector(model), start) > 1e-3


@pytest.mark.parametrize("rho", [0.0, 0.05])
def test_a_training_that_was_cut_off_goes_on(rho, tmp_path):
    """From a file, into a new network; it ends where one that was never cut off does."""
    recipe = make_recipe(DATA, rate=0.9, epochs=3, train_size=120, sam_rho=rho, augment="crop")
    whole = train_original(DATA, recipe, gpu())

    def sink(values, step):
        if "loss" in values and step == 4:
            raise InterruptedError

    checkpointer = FolderCheckpointer(tmp_path, {})
    run = Run(device=DEVICE, precision="fp32", sink=sink, show_progress=False)
    with pytest.raises(InterruptedError):
        train_original(DATA, recipe, run, checkpointer=checkpointer)
    assert checkpointer.last() is not None
    again = train_original(DATA, recipe, gpu(), checkpointer=checkpointer)
    assert apart(vector(again.model), vector(whole.model)) < 1e-2


def test_what_is_drawn_on_the_gpu_is_drawn_by_the_seed_and_disturbs_nothing():
    def drawn(seed):
        with seeded(seed, "test", torch.device(DEVICE)):
            return F.dropout(torch.ones(1000, device=DEVICE))

    torch.cuda.manual_seed(1)
    before = torch.cuda.get_rng_state()
    assert torch.equal(drawn(3), drawn(3))
    assert not torch.equal(drawn(3), drawn(4))
    assert torch.equal(torch.cuda.get_rng_state(), before)


# --- pruning and unlearning ---------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(PRUNERS))
def test_every_pruner_keeps_what_it_does_on_the_cpu(name):
    masks = []
    for run in both():
        model = ModelSpec.for_images("resnet_mini", "auto", 10, DATA.shape).build(0)
        mask = Mask.dense(model, prunable(model))
        masks.append(make_pruner(name, {"rate": 0.8}).prune(model, mask, subset(), run, seed=0))
    found, expected = masks
    assert found.kept == expected.kept
    # Scores of nearly the same size may change places.
    differ = sum(int((found[key] != expected[key]).sum()) for key in expected)
    assert differ <= 0.01 * expected.total


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("forget", ["class:3", "random:10%"])
@pytest.mark.parametrize("precision", PRECISIONS)
def test_every_method_unlearns_and_what_is_pruned_stays_zero(original, name, forget, precision):
    checkpoint, run = copy.deepcopy(original), gpu(precision)
    if method_class(name).classes_only and forget != "class:3":
        pytest.skip("it forgets whole classes")
    split = forget_split(original, DATA, forget)
    method = make_method(name, QUICK.get(name, short(name)))
    with run.stopwatch():
        method.unlearn(checkpoint, split, run)
    assert torch.isfinite(vector(checkpoint.model)).all()
    assert not torch.equal(vector(checkpoint.model), vector(original.model))
    assert_pruned_are_zero(checkpoint.model, checkpoint.mask)
    assert run.peak_memory_mb() > 0
    found = evaluate(checkpoint.model, split, run)
    assert all(np.isfinite(value) for value in found.values())


@pytest.mark.parametrize("name", sorted(METHODS))
def test_in_fp32_a_method_ends_where_it_does_on_the_cpu(original, name):
    split, ends = forget_split(original, DATA, "class:3"), []
    for run in both():
        checkpoint = copy.deepcopy(original)
        make_method(name, QUICK.get(name, short(name))).unlearn(checkpoint, split, run)
        ends.append(checkpoint.model)
    found, expected = (vector(one) for one in ends)
    assert apart(found, expected) < 0.02


def test_scales_are_searched_on_the_gpu(original):
    """With no scale given, by the validation samples."""
    split = forget_split(original, DATA, "class:3")
    for name, scale in (("ff", "alpha"), ("iu", "alpha")):
        run = gpu()
        make_method(name, {}).unlearn(copy.deepcopy(original), split, run)
        assert run.metrics[scale] > 0


# --- second order -------------------------------------------------------------------------


@pytest.mark.parametrize("labels", LABELS)
def test_the_diagonal_is_the_cpus(original, labels):
    found, expected = (
        diagonal(copy.deepcopy(original.model), subset(), run, labels=labels, chunk_size=16)
        for run in both()
    )
    assert all(one.device.type == DEVICE for one in found)
    flat = [torch.cat([one.double().cpu().flatten() for one in each]) for each in (found, expected)]
    assert apart(*flat) < 1e-3


def test_the_product_with_the_inverse_is_the_cpus(original):
    """In double precision: the inverse enlarges the rounding of the gradients."""
    products = []
    for run in both():
        model = run.place(copy.deepcopy(original.model).double()).eval()
        free = FreeWeights(model, original.mask)
        vector = mean_gradient(model, free, subset(), run)
        samples = Samples(model, free, subset(), run, 16)
        products.append(woodbury(samples, vector, 0.1))
    assert apart(*products) < 1e-8


# --- evaluation ---------------------------------------------------------------------------


@pytest.mark.parametrize(("precision", "bound"), [("fp32", 1e-4), ("bf16", 5e-2)])
def test_logits_come_back_as_the_cpus(original, precision, bound):
    split = forget_split(original, DATA, "class:3")
    found, expected = (
        predict_split(copy.deepcopy(original.model), split, run) for run in (gpu(precision), cpu())
    )
    for name, part in found.parts().items():
        assert part.logits.device.type == "cpu"
        assert apart(part.logits, expected.parts()[name].logits) < bound


def test_attacks_and_accuracies_are_the_cpus(original):
    split = forget_split(original, DATA, "random:10%")
    found, expected = (evaluate(copy.deepcopy(original.model), split, run) for run in both())
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=5.0 if "MIA" in name else 1.0), name


def test_features_and_steps_of_relearning_are_the_cpus(original):
    one, other = (features(copy.deepcopy(original.model), subset(), run) for run in both())
    assert apart(one, other) < 1e-4
    split = forget_split(original, DATA, "class:3")
    forgotten = copy.deepcopy(original)
    make_method("ff", QUICK["ff"]).unlearn(forgotten, split, cpu())
    found, expected = (
        Relearning(split, run, target_accuracy=50.0, batch_size=8).steps(forgotten, lr=0.05)
        for run in both()
    )
    assert found is not None
    assert expected is not None
    assert abs(found - expected) <= 1


# --- the machine, and the whole job -------------------------------------------------------


def test_memory_is_the_gpus():
    run = gpu()
    with run.stopwatch():
        held = torch.empty(64 * MIB, dtype=torch.uint8, device=DEVICE)
        assert len(held) == 64 * MIB
    high = run.peak_memory_mb()
    assert 64 <= high < torch.cuda.get_device_properties(DEVICE).total_memory / MIB
    free = free_bytes(run.device)
    del held  # torch keeps it for its next tensors, and it is free all the same
    assert free_bytes(run.device) >= free + 63 * MIB
    with run.stopwatch():
        pass
    assert run.peak_memory_mb() <= high - 63


def test_more_gpus_than_there_are_are_refused():
    there = torch.cuda.device_count()
    with refused(f"devices={there + 1}", f"there are {there} GPUs"):
        check_devices(DEVICE, there + 1, sync_bn=False)
    with refused("device='cuda:99'", "try auto"):
        Run(device="cuda:99")


def test_the_main_job_and_its_checkpoint_is_read_where_there_is_no_gpu(store: Store):
    device = {"device": DEVICE, "devices": 1}
    original = {"epochs": 4}
    prune(Request(original=original, device=device))
    entry = {"oracle_run_id": "train", "method": "l1_sparse"}
    unlearn(Request(entry=entry, method={"epochs": 2}, original=original, device=device))
    runs = list(store.search("attributes.status = 'FINISHED'"))
    assert {"prune", "unlearn"} <= {run.data.tags["mu.entry"] for run in runs}
    (last,) = [run for run in runs if run.data.tags.get("mu.oracle")]
    assert last.data.metrics["peak_memory_mb"] > 0
    checkpoint = fetch_checkpoint(store, last.info.run_id)
    assert {one.device.type for one in checkpoint.model.parameters()} == {"cpu"}
