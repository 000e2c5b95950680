"""A network in float64, and its training by hand: what methods are compared with to 1e-9."""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import Tensor

from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data.batches import Batches
from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.methods import make_method
from mu.runs import Run
from tests.helpers import make_dataset, make_recipe, random_mask
from tests.methods.networks import EXACT

LR, MOMENTUM, DECAY, SEED = 0.05, 0.9, 5e-4, 11
GIVEN = {"lr": LR, "schedule": "constant", "batch_size": 1000}  # a batch is a whole set
DATA = make_dataset(train=40, classes=4, size=6)
RECIPE = make_recipe(DATA, arch=EXACT)


def original(kept: float = 0.6) -> Checkpoint:
    """Untrained; batch normalisation has statistics, and nothing is zero that is not pruned."""
    model = RECIPE.model.build(3).train()
    with torch.no_grad():
        for _ in range(20):
            model(DATA.train.pixels[:20].float() / 255)
    mask = random_mask(model, ["conv.weight", "second.weight"], kept=kept)
    mask.apply(model)
    return Checkpoint(model.eval(), mask, Spec(DataSpec.of(DATA), RECIPE, history=("pruned",)))


def split_of(*, whole_class: bool = False) -> ForgetSplit:
    parts = original().spec.split(DATA)
    chosen = parts.train[DATA.train.labels[parts.train].numpy() == 1]
    return ForgetSplit.of(DATA, parts, chosen if whole_class else parts.train[:7])


def unlearned(
    name: str, checkpoint: Checkpoint, split: ForgetSplit, epochs: int, **settings: object
) -> Checkpoint:
    """A copy that the method was let loose on."""
    found = copy.deepcopy(checkpoint)
    method = make_method(name, {**GIVEN, "epochs": epochs, **settings})
    method.unlearn(found, split, Run(device="cpu", seed=SEED))
    return found


def whole(subset: Subset) -> tuple[Tensor, Tensor]:
    """All images and labels."""
    return next(Batches(subset, 1000, torch.device("cpu")).in_order())


class ByHand:
    """Stochastic gradient descent, written out, under the mask.

    Parameters
    ----------
    moves
        Of each parameter the weights that move, as booleans; by default all that are kept.
    """

    def __init__(self, checkpoint: Checkpoint, moves: Mapping[str, Tensor] | None = None) -> None:
        self.model, self.mask = copy.deepcopy(checkpoint.model).train(), checkpoint.mask
        self.names = dict(self.model.named_parameters())
        self.speed = {name: torch.zeros_like(one) for name, one in self.names.items()}
        self.moves = moves or {}

    def step(self, loss: Tensor) -> None:
        gradients = torch.autograd.grad(loss, list(self.names.values()))
        with torch.no_grad():
            for (name, weight), gradient in zip(self.names.items(), gradients, strict=True):
                kept = self.mask[name] if name in self.mask else torch.ones_like(weight)
                moves = self.moves.get(name, torch.ones_like(weight))
                total = gradient * kept * moves + DECAY * weight
                self.speed[name] = MOMENTUM * self.speed[name] + total
                weight.copy_(torch.where(moves > 0, weight - LR * self.speed[name], weight))


def check_equal(found: Checkpoint, expected: torch.nn.Module, tolerance: float = 1e-9) -> None:
    """Weights and buffers agree."""
    values = found.model.state_dict()
    for name, other in expected.state_dict().items():
        difference = (values[name].double() - other.double()).abs().max()
        assert float(difference) < tolerance, (name, float(difference))
