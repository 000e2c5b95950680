"""Layers that stay sparse: the same answers, chosen by times, which are given here."""

from __future__ import annotations

import json
from itertools import product
from pathlib import Path

import pytest
import torch
from torch import fx, nn

from mu.compact.files import LAYERS_FILE, save
from mu.compact.fold import folded
from mu.compact.latency import Latency
from mu.compact.network import compact
from mu.compact.sparse import CSR, DENSE, choose, is_faster, kinds_of, with_sparse
from mu.compact.standalone import SparseConv2d, SparseLinear
from mu.compact.trace import traced
from tests.compact.networks import built, draws, everything, images
from tests.compact.test_exact import assert_same
from tests.helpers import mostly_slow, prunable, random_mask

LAYERS = {
    "padded": nn.Conv2d(3, 8, 3, padding=1),
    "strided": nn.Conv2d(3, 8, (3, 2), stride=(2, 1), padding=(0, 1), bias=False),
    "one": nn.Conv2d(3, 8, 1),
    "linear": nn.Linear(6, 5),  # on the last dimension of the images
    "plain": nn.Linear(6, 5, bias=False),
}


def thinned(layer: nn.Module, kept: float = 0.3) -> nn.Module:
    """With a random part of its weights, and an output that has none."""
    weight = layer.get_parameter("weight")
    with torch.no_grad():
        weight.normal_(generator=draws(0))
        weight *= torch.rand(weight.shape, generator=draws(1)) < kept
        weight[2] = 0
    return layer.requires_grad_(False)


def graph(model: nn.Module) -> fx.GraphModule:
    return traced(model, images(2), "net")


def network() -> fx.GraphModule:
    """A convolution and a linear layer with zeros, and a linear layer without."""
    model = nn.Sequential(LAYERS["padded"], nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    model.extend([nn.Linear(8, 6), nn.Linear(6, 4)])
    for layer in (model[0], model[4]):
        thinned(layer)
    return graph(model)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("count", [1, 5])
def test_a_sparse_layer_answers_as_the_dense_one(name: str, count: int) -> None:
    model = nn.Sequential(thinned(LAYERS[name]))
    sparse = with_sparse(graph(model), ["0"])
    assert isinstance(sparse.get_submodule("0"), (SparseConv2d, SparseLinear))
    assert_same(model, sparse, images(count))
    assert sparse(images(count)).shape == model(images(count)).shape


@pytest.mark.parametrize("seed", range(3))
def test_a_whole_network_with_every_layer_that_can_be(seed: int) -> None:
    model = everything(seed, 0.3)
    small = folded(compact(model, images(2)).network)
    everywhere = choose(small, images(2), 1, times(sparse=1.0, dense=2.0))
    assert everywhere
    assert_same(model, with_sparse(small, everywhere), 10 * images(4, seed=seed))


FILES = [*product(("resnet_mini", "vit_tiny"), ("torch", "safetensors"))]


@pytest.mark.parametrize(("arch", "format"), mostly_slow(FILES, FILES[0], FILES[3]))
def test_a_file_with_sparse_layers_is_read_again(arch: str, format: str, tmp_path: Path) -> None:
    model = built(arch, 8)
    random_mask(model, prunable(model), kept=0.1).apply(model)
    small = folded(compact(model, images(2, side=8), arch).network)
    layers = choose(small, images(2, side=8), 1, times(sparse=1.0, dense=2.0))
    sparse = with_sparse(small, layers)
    dense = save(small, images(2, side=8), tmp_path, format)[0].stat().st_size
    path, answers = save(sparse, images(2, side=8), tmp_path, format)
    assert_same(model, answers, images(5, side=8))
    assert_same(model, answers, images(1, side=8))
    assert path.stat().st_size < dense
    if format == "torch":
        found = {LAYERS_FILE: ""}
        torch.export.load(tmp_path / "model.pt2", extra_files=found)
        assert json.loads(found[LAYERS_FILE]) == kinds_of(sparse)


# --- normalisation --------------------------------------------------------------------------


@pytest.mark.parametrize("arch", ["resnet_mini", "mobilenet_v3_small"])
def test_normalisation_is_folded(arch: str) -> None:
    model = built(arch, 8)
    found = folded(traced(model, images(2, side=8), arch))
    assert_same(model, found, images(4, side=8))
    norms = [one for one in found.modules() if isinstance(one, nn.BatchNorm2d)]
    assert len(norms) == 0


def test_a_layer_that_others_read_keeps_its_normalisation() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.norm = nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)

        def forward(self, signal: torch.Tensor) -> torch.Tensor:
            signal = self.layer(signal)
            return (self.norm(signal) + signal).mean((2, 3))

    model = Twice().eval()
    model.norm.running_mean.fill_(2.0)
    found = folded(graph(model))
    assert_same(model, found, images(4))
    assert isinstance(found.get_submodule("norm"), nn.BatchNorm2d)


# --- the choice -----------------------------------------------------------------------------


def times(sparse: float, dense: float, **layers: float):
    """A timer by which each layer takes that long; ``layers``: of these, if they are sparse."""

    def timer(networks, names, batch, threads):
        of = {DENSE: dict.fromkeys(names, dense), CSR: dict.fromkeys(names, sparse) | layers}
        assert set(of) == set(networks)
        assert set(kinds_of(networks[CSR]).values()) >= {CSR}
        return {
            kind: {name: Latency(one, one, one) for name, one in found.items()}
            for kind, found in of.items()
        }

    return timer


@pytest.mark.parametrize(
    ("sparse", "chosen"), [(1.0, []), (0.95, []), (0.85, ["0", "4"]), (2.0, [])]
)
def test_a_layer_is_sparse_only_where_that_is_faster_beyond_noise(
    sparse: float, chosen: list[str]
) -> None:
    found = choose(network(), images(1), 1, times(sparse, dense=1.0))
    assert found == chosen  # the last layer has no zeros


def test_each_layer_is_chosen_by_its_own_time() -> None:
    timer, asked = times(2.0, dense=1.0, **{"4": 0.5}), []

    def told(networks, names, batch, threads):
        asked.append((len(batch), threads))
        return timer(networks, names, batch, threads)

    assert choose(network(), images(5), 3, told) == ["4"]
    assert asked == [(5, 3)]
    assert kinds_of(with_sparse(network(), ["4"])) == {"0": DENSE, "4": CSR, "5": DENSE}


def test_without_zeros_nothing_is_timed() -> None:
    def never(*_):
        raise AssertionError

    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3, groups=4), nn.Flatten())
    assert choose(graph(model), images(1), 1, never) == []


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 4, 3, groups=2),
        nn.Conv2d(4, 4, 3, dilation=2),
        nn.Conv2d(4, 4, 3, padding="same"),
        nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular"),
    ],
)
def test_what_a_sparse_layer_cannot_do_stays_dense(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), thinned(layer))
    assert choose(graph(model), images(1), 1, times(1.0, dense=2.0)) == []


def test_the_whole_is_sparse_only_if_it_is_faster() -> None:
    fast, slow = Latency(0.8, 0.7, 0.9), Latency(0.95, 0.9, 1.0)
    dense = Latency(1.0, 0.9, 1.1)
    assert is_faster(fast, dense)
    assert not is_faster(slow, dense)


def test_layers_are_timed_in_passes_of_the_whole() -> None:
    """With the real clock: as many layers as are asked for, and no hook is left."""
    small = network()
    choose(small, images(1), 1)
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in small.modules())
