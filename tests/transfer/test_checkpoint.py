"""Transfer: what is trained and what stays, the head, the spec, and every refusal."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.images import ImageDataset
from mu.evaluation.outputs import predict
from mu.masks import Mask
from mu.models import ModelSpec
from mu.models.head import find_head
from mu.runs import Run
from mu.training import Training
from mu.transfer import DEFAULT_TUNE, TUNES
from mu.transfer import checkpoint as module
from mu.transfer.checkpoint import check_target, transfer_training, transferred, transferred_spec
from tests.helpers import bits, encoded, make_checkpoint, make_dataset, refused, write_tree
from tests.transfer.targets import bright

IMAGES = torch.rand(2, 1, 8, 8)
TARGET = replace(bright(), mean=(0.6,), std=(0.9,))
QUICK = Training(epochs=2, batch_size=16, lr=0.05, augment="crop")
each_tune = pytest.mark.parametrize("tune", sorted(TUNES))


def source(seed: int = 3) -> Checkpoint:
    return make_checkpoint(make_dataset(), seed=seed)


def moved(
    checkpoint: Checkpoint,
    tune: str,
    *,
    target: ImageDataset = TARGET,
    training: Training = QUICK,
    seed: int = 5,
) -> Checkpoint:
    run = Run(device="cpu", seed=seed, show_progress=False)
    return transferred(checkpoint, target, training, run, tune=tune)


def split_state(model: nn.Module) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The head's tensors, and all others, statistics of batch normalisation among them."""
    head = find_head(model, IMAGES)
    state = model.state_dict()
    own = {name: one for name, one in state.items() if name.startswith(f"{head[0]}.")}
    return own, {name: one for name, one in state.items() if name not in own}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(bits(one[name]), bits(other[name])) for name in one
    )


# --- what is trained ----------------------------------------------------------------------


def test_with_head_everything_before_the_head_stays_to_the_bit() -> None:
    before = source()
    after = moved(before, "head")
    head, rest = split_state(after.model)

    assert any("running_mean" in name for name in rest), "statistics are looked at, too"
    assert same(rest, split_state(before.model)[1])
    assert {tuple(one.shape) for one in head.values()} == {(4, 64), (4,)}
    assert not after.model.training


def test_with_all_weights_and_statistics_before_the_head_are_trained() -> None:
    before, after = source(), moved(source(), "all")
    rest, kept = split_state(after.model)[1], split_state(before.model)[1]

    moving = {name for name in rest if not np.array_equal(bits(rest[name]), bits(kept[name]))}
    assert {"conv1.weight", "layer3.0.conv2.weight", "bn1.weight", "bn1.running_mean"} <= moving


@each_tune
def test_pruned_weights_stay_exactly_zero_under_the_same_mask(tune: str) -> None:
    before = source()
    training = QUICK.replace(momentum=0.9, weight_decay=0.1)
    after = moved(before, tune, training=training)

    assert after.mask == before.mask
    parameters = dict(after.model.named_parameters())
    for name, kept in after.mask.items():
        pruned = parameters[name][~kept]
        assert len(pruned)
        assert not bits(pruned).any()


def test_the_target_is_learnt_and_a_new_head_finds_it_in_the_features() -> None:
    learnt = moved(source(), "all", training=QUICK.replace(epochs=15))
    found = moved(learnt, "head", training=QUICK.replace(epochs=15), seed=6)
    untouched = moved(learnt, "head", training=QUICK.replace(epochs=1, lr=1e-6), seed=6)
    seen, run = learnt.spec.data.bind(TARGET), Run(device="cpu")
    whole, head, none = (
        predict(one.model, seen.test_subset(), run).accuracy() for one in (learnt, found, untouched)
    )
    assert min(whole, head) > 60 > none, "of 4 classes, each a quarter"


@each_tune
def test_the_source_is_left_as_it_is(tune: str) -> None:
    before = source()
    kept = copy.deepcopy(before.model.state_dict())
    moved(before, tune)

    assert same(dict(before.model.state_dict()), dict(kept))
    assert all(one.requires_grad and one.grad is None for one in before.model.parameters())


def test_with_head_no_gradient_is_computed_elsewhere_and_flags_are_put_back() -> None:
    after = moved(source(), "head")
    head = find_head(after.model, IMAGES)
    own = {id(one) for one in head[1].parameters()}
    for parameter in after.model.parameters():
        assert parameter.requires_grad
        assert (parameter.grad is not None) == (id(parameter) in own)


# --- seeds --------------------------------------------------------------------------------


@each_tune
def test_the_seed_decides_and_nothing_else_does(tune: str) -> None:
    first = split_state(moved(source(), tune).model)
    torch.manual_seed(99)
    again = split_state(moved(source(), tune).model)
    other = split_state(moved(source(), tune, seed=6).model)

    assert same(first[0], again[0])
    assert same(first[1], again[1])
    assert not same(first[0], other[0])


def test_all_networks_start_from_the_same_new_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "train", lambda *_args, **_settings: None)
    one, other = moved(source(3), "all"), moved(source(4), "all")

    assert same(split_state(one.model)[0], split_state(other.model)[0])
    assert not same(split_state(one.model)[1], split_state(other.model)[1])
    assert not same(
        split_state(one.model)[0], split_state(moved(source(3), "all", seed=6).model)[0]
    )


def test_the_seed_of_the_run_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    run = Run(device="cpu", seed=8, show_progress=False)
    given = transferred(source(), TARGET, QUICK, run, seed=5)
    assert same(split_state(given.model)[0], split_state(moved(source(), "head").model)[0])


# --- the data and the spec ----------------------------------------------------------------


@each_tune
def test_the_network_sees_the_whole_target_as_it_saw_its_source(
    tune: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = {}

    def look(_model: nn.Module, data, *_args, **_settings) -> None:  # type: ignore[no-untyped-def]
        seen["data"] = data

    monkeypatch.setattr(module, "train", look)
    before = source()
    after = moved(before, tune)

    data = seen["data"]
    assert (data.mean, data.std) == ((0.25,), (0.2,)) == (before.spec.data.mean, (0.2,))
    assert (after.spec.data.mean, after.spec.data.std) == ((0.25,), (0.2,))
    assert data.images is TARGET.train
    assert data.indices.tolist() == list(range(len(TARGET.train)))


def test_the_spec_says_what_the_network_is_now() -> None:
    before = source()
    before.spec = before.spec.without(np.array([3, 4]), "ft")
    spec = moved(before, "head").spec

    assert spec.data.fingerprint == TARGET.fingerprint
    assert spec.data.classes == TARGET.classes
    assert spec.recipe.model == before.spec.recipe.model.replace(num_classes=4)
    assert spec.recipe.training == before.spec.recipe.training
    assert spec.removed == ()
    assert spec.history == ("pruned", "ft", "transfer")


def test_the_checkpoint_can_be_kept_and_loaded(tmp_path: Path) -> None:
    after = moved(source(), "all")
    after.save(tmp_path)
    loaded = Checkpoint.load(tmp_path)

    assert same(dict(loaded.model.state_dict()), dict(after.model.state_dict()))
    assert (loaded.mask, loaded.spec) == (after.mask, after.spec)


def test_a_new_head_is_dense_where_the_mask_knows_a_head() -> None:
    plain = source()
    sparse = torch.arange(3 * 64).reshape(3, 64) % 2 == 0
    mask = Mask({**{name: plain.mask[name] for name in plain.mask}, "fc.weight": sparse})
    mask.apply(plain.model)
    after = moved(Checkpoint(plain.model, mask, plain.spec), "head")

    assert after.mask["fc.weight"].shape == (4, 64)
    assert bool(after.mask["fc.weight"].all())
    assert all(torch.equal(after.mask[name], mask[name]) for name in plain.mask)


def test_a_target_can_be_transferred_on_again() -> None:
    again = moved(moved(source(), "head"), "head", target=make_dataset(classes=6, train=60))
    assert again.spec.history == ("pruned", "transfer", "transfer")
    assert again.spec.recipe.model.num_classes == 6


def coloured_images(root: Path) -> Path:
    files = {}
    for part, count in (("train", 6), ("val", 2)):
        for label in range(2):
            for number in range(count):
                rng = np.random.default_rng([label, number, count])
                pixels = rng.integers(0, 200, (16, 16, 3)) + 50 * label
                files[f"{part}/class{label}/{number}.png"] = encoded(pixels.astype(np.uint8))
    return write_tree(root, files)


@each_tune
def test_streamed_images_give_the_very_same(tune: str, tmp_path: Path) -> None:
    folder = coloured_images(tmp_path)
    checkpoint = make_checkpoint(make_dataset(channels=3))
    loaded, streamed = (
        load_data("imagefolder", folder, 8, stream=stream, workers=0) for stream in (False, True)
    )
    training = QUICK.replace(augment="none", batch_size=6)
    one, other = (
        moved(checkpoint, tune, target=target, training=training) for target in (loaded, streamed)
    )

    assert streamed.streams
    assert other.spec.data.stream
    assert same(dict(one.model.state_dict()), dict(other.model.state_dict()))


# --- settings -----------------------------------------------------------------------------


def test_what_is_given_goes_before_the_defaults_of_tune() -> None:
    for tune, defaults in TUNES.items():
        found = transfer_training("imagefolder", tune)
        assert {name: getattr(found, name) for name in defaults} == defaults
        assert found.augment == "crop_flip"
    assert transfer_training("imagefolder") == transfer_training("imagefolder", DEFAULT_TUNE)
    given = transfer_training("imagefolder", "all", epochs=3, augment="none", lr=None)
    assert (given.epochs, given.augment, given.lr) == (3, "none", TUNES["all"]["lr"])


def test_augmentation_is_by_default_what_suits_the_target() -> None:
    assert transfer_training("digits").augment == "none"
    assert transfer_training("digits").epochs == TUNES[DEFAULT_TUNE]["epochs"]


def test_unknown_settings_are_refused() -> None:
    with refused("tune 'heads'", "did you mean head"):
        transfer_training("digits", "heads")
    with refused("tune 'heads'"):
        moved(source(), "heads")
    with refused("'epoch'", "did you mean epochs"):
        transfer_training("digits", "head", epoch=3)
    with refused("lr=0", "above 0"):
        transfer_training("digits", "head", lr=0)
    with refused("sam_adaptive=True", "give sam_rho"):
        transfer_training("digits", "head", sam_adaptive=True)


# --- what does not fit --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "images"),
    [
        (make_dataset(channels=3), "3x8x8"),
        (make_dataset(size=10), "1x10x10"),
    ],
)
def test_images_of_another_shape_are_refused(target: ImageDataset, images: str) -> None:
    checkpoint = source()
    for check in (
        lambda: check_target(checkpoint.spec, target),
        lambda: moved(checkpoint, "head", target=target),
    ):
        with refused("made_up", images, "original takes 1x8x8"):
            check()


def test_the_shape_of_the_source_decides_where_it_is_known() -> None:
    with refused("1x8x8", "takes 1x8x12"):
        check_target(source().spec, TARGET, (1, 8, 12))
    check_target(source().spec, TARGET, (1, 8, 8))


class Odd(nn.Module):
    """Logits from a convolution and a pooling; a linear layer elsewhere."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.gate = nn.Linear(2, 2)
        self.last = nn.Conv2d(1, classes, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(images).mean((2, 3))


class Wide(nn.Module):
    """A hidden layer as wide as there are classes."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.hidden, self.fc = nn.Linear(64, classes), nn.Linear(classes, classes)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.hidden(images.flatten(1)))


def odd(num_classes: int) -> nn.Module:
    return Odd(num_classes)


def headless(num_classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, num_classes, 8), nn.Flatten(), nn.LogSoftmax(1))


def wide(num_classes: int) -> nn.Module:
    return Wide(num_classes)


def own(arch: str) -> Checkpoint:
    """An untrained, dense network of the user's own."""
    dataset = make_dataset()
    recipe = source().spec.recipe
    model = ModelSpec.for_images(f"{__name__}:{arch}", "auto", 3, dataset.shape)
    spec = Spec(DataSpec.of(dataset), replace(recipe, model=model))
    return Checkpoint(model.build(0), Mask({}), spec)


@pytest.mark.parametrize("arch", ["odd", "headless"])
def test_a_network_without_a_linear_head_is_refused(arch: str) -> None:
    checkpoint = own(arch)
    for check in (lambda: check_target(checkpoint.spec, TARGET), lambda: moved(checkpoint, "head")):
        with refused(f":{arch}: the network has no head", "logits", "another arch"):
            check()


def test_a_network_of_which_more_depends_on_the_classes_is_refused() -> None:
    with refused(":wide", "more than its head", "hidden.weight", "another arch"):
        moved(own("wide"), "head")


def test_the_spec_is_known_before_anything_is_trained() -> None:
    checkpoint = source()
    assert transferred_spec(checkpoint.spec, TARGET) == moved(checkpoint, "head").spec
