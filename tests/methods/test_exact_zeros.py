"""l1_sparse by proximal steps: against a plain loop, the mask it leaves, and its limits."""

import copy

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mu.checkpoints import Checkpoint, forget_split
from mu.data import load_data
from mu.data.batches import Batches
from mu.evaluation.unlearning import evaluate
from mu.methods import make_method
from mu.methods.l1_sparse import decay, prune_zeros, total_pull
from mu.originals.train import make_recipe, train_original
from mu.runs import Run, generator
from mu.training import Training, learning_rate_factor
from tests.helpers import bits, same_masks
from tests.methods.networks import RESIDUAL

DATA = load_data("digits")
SHORT = {"epochs": 3, "lr": 0.02}
GIVEN = {"l1_strength": 2.0}  # in place of the rule


@pytest.fixture(scope="module", params=[0.0, 0.8], ids=["dense", "sparse"])
def original(request):
    recipe = make_recipe(DATA, arch=RESIDUAL, rate=request.param, epochs=2, train_size=100)
    return train_original(DATA, recipe, Run(device="cpu"))


def unlearned(original, name="l1_sparse", run=None, **settings):
    checkpoint = copy.deepcopy(original)
    split = forget_split(original, DATA, "class:4")
    given = GIVEN if name == "l1_sparse" and "alpha" not in settings else {}
    method = make_method(name, {**SHORT, **given, **settings})
    method.unlearn(checkpoint, split, run or Run(device="cpu"))
    return checkpoint


def same_weights(one, other):
    left, right = one.model.state_dict(), other.model.state_dict()
    return all(np.array_equal(bits(left[name]), bits(right[name])) for name in left)


def weight_of(checkpoint, name):
    return checkpoint.model.get_parameter(name).detach()


# --- the steps ----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_it_is_the_optimiser_and_a_soft_threshold_after_each_step(original, optimizer):
    alpha = 0.3
    settings = {"optimizer": optimizer, "lr": 0.01, "momentum": 0.6, "alpha": alpha}
    found = unlearned(original, exact_zeros=True, **settings)

    model = copy.deepcopy(original.model)
    kind = {
        "sgd": lambda weights: torch.optim.SGD(weights, momentum=0.6, weight_decay=5e-4),
        "adam": lambda weights: torch.optim.Adam(weights, betas=(0.6, 0.999), weight_decay=5e-4),
        "adamw": lambda weights: torch.optim.AdamW(weights, betas=(0.6, 0.999), weight_decay=5e-4),
    }[optimizer](model.parameters())
    repeats = 1 / (1 - 0.6) if optimizer == "sgd" else 1.0
    split = forget_split(original, DATA, "class:4")
    batches = Batches(
        split.retain_set, original.spec.recipe.training.batch_size, torch.device("cpu")
    )
    model.train()
    for epoch in range(3):
        order = batches.shuffled(generator(0, f"order of epoch {epoch}"))
        for number, (images, labels) in enumerate(order):
            rate = 0.01 * learning_rate_factor("cosine", epoch + number / len(batches), 3)
            kind.param_groups[0]["lr"] = rate
            kind.zero_grad()
            F.cross_entropy(model(images), labels).backward()
            kind.step()
            for name in original.mask:
                weight = model.get_parameter(name).data
                weight[~original.mask[name]] = 0
                left = weight.abs() - rate * alpha * (1 - epoch / 3) * repeats
                weight.copy_(weight.sign() * left.clamp(min=0))
    for name, weight in model.named_parameters():
        assert torch.allclose(weight_of(found, name), weight, atol=1e-5), name


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_beside_adam_the_thresholds_alone_add_up_to_total_pull(optimizer, schedule):
    training = Training(epochs=10, lr=0.01, batch_size=8, schedule=schedule, optimizer=optimizer)
    samples, pulled = 200, 0.0
    for step in range(10 * 25):
        rate = training.lr * learning_rate_factor(schedule, step / 25, training.epochs)
        pulled += rate * decay(step // 25, training.epochs)
    assert total_pull(training, samples) == pytest.approx(pulled, rel=0.01)


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_alpha_0_is_fine_tuning(original, optimizer):
    plain = unlearned(original, "ft", optimizer=optimizer)
    found = unlearned(original, optimizer=optimizer, alpha=0.0, exact_zeros=True)
    assert same_weights(plain, found)
    assert found.mask == original.mask


# --- the mask -----------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_mask_is_what_is_left(original, optimizer):
    found = unlearned(original, optimizer=optimizer, exact_zeros=True)
    assert 0 < found.mask.kept < original.mask.kept
    for name in original.mask:
        weight, kept = weight_of(found, name), found.mask[name]
        assert torch.equal(kept, original.mask[name] & (weight != 0))
        assert not bits(weight[~kept]).any(), "pruned weights must be +0.0"


def test_a_weight_of_minus_zero_is_pruned_and_becomes_plus_zero(original):
    found, run = copy.deepcopy(original), Run(device="cpu")
    name = next(iter(found.mask))
    found.model.get_parameter(name).data.fill_(-0.0)
    prune_zeros(found, run)
    assert not found.mask[name].any()
    assert not bits(weight_of(found, name)).any()
    assert all(
        torch.equal(found.mask[one], original.mask[one]) for one in found.mask if one != name
    )
    assert f"leaves no weight in {name};" in run.notes[0]


def test_the_share_of_zeros_is_told_each_epoch_and_ends_at_the_sparsity(original):
    run = Run(device="cpu")
    found = unlearned(original, run=run, exact_zeros=True)
    steps, shares = zip(*run.history("zeros"), strict=True)
    assert steps == (0, 1, 2)
    assert shares[-1] == found.mask.sparsity > original.mask.sparsity
    assert all(original.mask.sparsity <= share <= 100 for share in shares)
    assert run.notes == []


def test_the_new_mask_is_handed_on(original, tmp_path, monkeypatch):
    monkeypatch.setenv("MU_TRUST", RESIDUAL.partition(":")[0])
    found = unlearned(original, exact_zeros=True)
    found.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)
    assert same_masks(loaded.mask, found.mask)
    assert same_weights(loaded, found)

    again = unlearned(loaded, "ft")  # a second request starts from there
    assert again.mask == found.mask
    for name in again.mask:
        assert not weight_of(again, name)[~found.mask[name]].any()


def test_nothing_is_left_of_a_huge_alpha_and_a_note_says_so(original):
    run = Run(device="cpu")
    found = unlearned(original, run=run, alpha=1e6, exact_zeros=True)
    assert found.mask.kept == 0
    assert all(not bits(weight_of(found, name)).any() for name in found.mask)
    (note,) = run.notes
    first = next(iter(found.mask))
    assert note.startswith(f"l1_sparse to 100.00 % leaves no weight in {first}, ")
    assert "a lower alpha or l1_strength would keep some" in note
    split = forget_split(original, DATA, "class:4")
    assert all(
        np.isfinite(value) for value in evaluate(found.model, split, Run(device="cpu")).values()
    )
    # Neither does the next request find anything to pull at.
    assert unlearned(found, exact_zeros=True).mask.kept == 0


@pytest.mark.parametrize("optimizer", ["adam", "adamw"])
def test_adam_takes_the_same_steps_without_changing_the_mask(original, optimizer):
    run = Run(device="cpu")
    plain = unlearned(original, run=run, optimizer=optimizer)
    found = unlearned(original, optimizer=optimizer, exact_zeros=True)
    assert same_weights(plain, found)
    assert plain.mask == original.mask != found.mask
    assert run.history("zeros") == []


def test_sgd_takes_other_steps_with_it_than_without(original):
    plain = unlearned(original)
    assert plain.mask == original.mask
    assert all(weight_of(plain, name)[original.mask[name]].all() for name in original.mask)
    assert not same_weights(plain, unlearned(original, exact_zeros=True))


@pytest.mark.parametrize(
    ("optimizer", "alpha", "told"),
    [("adam", 0.99, False), ("adam", 1.0, True), ("adamw", 3.0, True), ("sgd", 3.0, False)],
)
def test_a_penalty_that_outruns_adam_is_told(original, optimizer, alpha, told):
    run = Run(device="cpu")
    unlearned(original, run=run, optimizer=optimizer, alpha=alpha, epochs=1)
    notes = [note for note in run.notes if "outruns every gradient" in note]
    assert len(notes) == told
    assert all(note.startswith(f"alpha={alpha:g}: with {optimizer} ") for note in notes)


@pytest.mark.parametrize(("optimizer", "most"), [("adam", 0.75), ("adamw", 0.75), ("sgd", None)])
def test_the_rule_stays_below_what_outruns_adam(original, optimizer, most):
    run = Run(device="cpu")
    unlearned(original, run=run, optimizer=optimizer, lr=1e-3, l1_strength=50.0)
    assert run.metrics["alpha"] == most if most else run.metrics["alpha"] > 1
    assert not run.notes
