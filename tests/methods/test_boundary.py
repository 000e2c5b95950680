"""Boundary: the updates by hand, in both variants, and what is left at the end."""

import copy

import pytest
import torch

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.masks import Mask
from mu.methods import make_method
from mu.runs import Run, seeded
from tests.helpers import make_recipe, refused
from tests.methods.exact import (
    DATA,
    SEED,
    ByHand,
    check_equal,
    original,
    split_of,
    unlearned,
    whole,
)
from tests.methods.networks import HEADLESS
from tests.methods.test_rl import mean_loss

BLIND = ("retain",)
BOUND = 0.1


def labels_behind(model, subset, bound):
    """Image by image, pixel by pixel, and with whole numbers: 2 levels are 51 halves of one."""
    images, true = whole(subset)
    pixels = subset.images.pixels[torch.from_numpy(subset.indices)]
    moved = torch.zeros_like(pixels)
    for row in range(len(pixels)):
        image = images[row : row + 1].double().requires_grad_()
        loss = -model(image).log_softmax(1)[0, true[row]]
        (gradient,) = torch.autograd.grad(loss, image)
        for place in torch.cartesian_prod(*map(torch.arange, pixels[row].shape)):
            at = tuple(place.tolist())
            level, slope = int(pixels[row][at]), float(gradient[0][at])
            wanted = level / 255 + bound * ((slope > 0) - (slope < 0))
            moved[row][at] = round(min(max(round(wanted * 510), 0), 510) / 2)
    mean, deviation = (torch.tensor(one).view(1, -1, 1, 1) for one in (subset.mean, subset.std))
    with torch.no_grad():
        return model((moved.double() / 255 - mean) / deviation).argmax(1), moved


@pytest.mark.parametrize("statistics", ["original", "batch"])
@pytest.mark.parametrize("epochs", [1, 3])
def test_shrinking_is_as_written_out(statistics, epochs):
    start, split = original(), split_of()
    slow, clean = ByHand(start), original().model.eval()
    slow.model.train(statistics == "batch")
    images, true = whole(split.forget_set)
    labels, _ = labels_behind(clean, split.forget_set, BOUND)
    assert 0 < int((labels != true).sum()) < len(true)  # some stay: they are trained on that
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(images), labels))
    check_equal(unlearned("BS", start, split, epochs, batch_norm=statistics), slow.model)


@pytest.mark.parametrize("epochs", [1, 3])
def test_expanding_is_as_written_out(epochs):
    """A copy of the network with a head of one more row, which is cut off at the end."""
    start, split = original(), split_of()
    wide, classes = copy.deepcopy(start), len(DATA.classes)
    head = wide.model.head
    with seeded(SEED, "extra output", torch.device("cpu")):
        row = torch.nn.Linear(head.in_features, 1).double()
    wide.model.head = torch.nn.Linear(head.in_features, classes + 1).double()
    with torch.no_grad():
        wide.model.head.weight.copy_(torch.cat([head.weight, row.weight]))
        wide.model.head.bias.copy_(torch.cat([head.bias, row.bias]))
    slow = ByHand(wide)
    slow.model.eval()
    images, true = whole(split.forget_set)
    for _ in range(epochs):
        slow.step(mean_loss(slow.model(images), torch.full_like(true, classes)))
    trained = slow.model.head
    slow.model.head = copy.deepcopy(head)
    with torch.no_grad():
        slow.model.head.weight.copy_(trained.weight[:classes])
        slow.model.head.bias.copy_(trained.bias[:classes])
    check_equal(unlearned("boundary", start, split, epochs, variant="expand"), slow.model)


def test_nothing_is_left_of_an_extra_output_whatever_ends_the_training():
    start, split = original(), split_of()
    names, hooks = [*start.model.state_dict()], len(start.model.head._forward_pre_hooks)
    seen = []

    class Ends:
        def last(self):
            return None

        def save(self, progress):
            seen.append({*progress.weights} - {*names})
            raise KeyboardInterrupt

    method = make_method("boundary", {"variant": "expand", "lr": 0.1, "epochs": 2})
    with pytest.raises(KeyboardInterrupt):
        method.unlearn(start, split, Run(device="cpu"), Ends())
    assert seen == [{"expanded_weight", "expanded_bias"}]  # it is kept, to be gone on with
    assert [*start.model.state_dict()] == names
    assert [name for name, _ in start.model.named_parameters()] == [
        name for name in names if "running" not in name and "tracked" not in name
    ]
    assert len(start.model.head._forward_pre_hooks) == hooks


def test_what_has_no_head_has_no_extra_output():
    recipe = make_recipe(DATA, arch=HEADLESS)
    bare = Checkpoint(recipe.model.build(0), Mask({}), Spec(DataSpec.of(DATA), recipe))
    method = make_method("boundary", {"variant": "expand", "lr": 0.1})
    with refused("variant=expand: the network has no head", "give variant=shrink"):
        method.unlearn(bare, split_of(), Run(device="cpu"))


def test_the_share_of_labels_that_change_is_logged_and_its_presets_are_what_is_published():
    start, split = original(), split_of()
    labels, _ = labels_behind(start.model, split.forget_set, BOUND)
    run = Run(device="cpu")
    make_method("boundary", {"lr": 1e-3, "epochs": 3}).unlearn(start, split, run)
    changed = float((labels != split.forget_set.labels).double().mean())
    assert [one.value for one in run.records if one.name == "flipped"] == [
        pytest.approx(100 * changed)
    ]
    assert make_method("boundary_shrink", {"preset": "paper"}).lr == 1e-4
    assert make_method("boundary", {"preset": "scissorhands"}).lr == 1e-6
