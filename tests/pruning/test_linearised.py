"""The positive linear twin against paths enumerated one by one, and its law of conservation."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torchvision.models.convnext import CNBlock, LayerNorm2d
from torchvision.models.maxvit import RelativePositionalMultiHeadAttention
from torchvision.models.swin_transformer import ShiftedWindowAttention, ShiftedWindowAttentionV2
from torchvision.ops.misc import SqueezeExcitation

from mu.masks import Mask
from mu.models import ModelSpec
from mu.pruning.scoring.linearised import ACTIVATIONS, Twin, levelled, linear
from tests.helpers import laws, mostly_slow, prunable
from tests.pruning.networks import CONVOLUTIONAL, TRANSFORMERS, build, dense, half

CPU = torch.device("cpu")


def ones(*shape):
    return torch.ones(shape, dtype=torch.float64)


def path_sums(model, inputs, mask=None, names=None):
    mask = mask or dense(model, "head")
    return Twin(model, mask, CPU).path_sums(inputs, names or list(mask))


def close(one, other):
    torch.testing.assert_close(
        torch.as_tensor(one, dtype=torch.float64), torch.as_tensor(other, dtype=torch.float64)
    )


# --- paths --------------------------------------------------------------------------------


def perceptron(widths, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = []
        for pair in itertools.pairwise(widths):
            parts += [nn.Linear(*pair), nn.Tanh()]
        return nn.Sequential(nn.Flatten(), *parts[:-1])


def every_path(model, inputs, mask):
    """For each weight of a perceptron, the sum over all paths through it; and over all paths."""
    names = [name for name in dict(model.named_parameters()) if name.endswith("weight")]
    weights = {name: model.get_parameter(name).detach().double().abs() for name in names}
    for name in mask:
        weights[name] = weights[name] * mask[name]
    sums = {name: torch.zeros_like(weights[name]) for name in names}
    widths = [weights[name].shape[1] for name in names] + [len(weights[names[-1]])]
    total = 0.0
    for units in itertools.product(*(range(width) for width in widths)):
        steps = [(name, (b, a)) for name, (a, b) in zip(names, itertools.pairwise(units))]  # noqa: B905
        worth = float(inputs[units[0]]) * math.prod(float(weights[n][edge]) for n, edge in steps)
        total += worth
        for name, edge in steps:
            sums[name][edge] += worth
    return sums, total


@laws(30)
@given(
    widths=st.lists(st.integers(1, 4), min_size=2, max_size=5),
    seed=st.integers(0, 99),
    kept=st.sampled_from([1.0, 0.7, 0.4]),
)
def test_scores_are_sums_over_all_paths(widths, seed, kept):
    """Up to one factor: the twin's outputs add up to their number, whatever the weights."""
    model = perceptron(widths, seed)
    mask = dense(model, "head")
    draws = torch.Generator().manual_seed(seed)
    mask = Mask({name: torch.rand(mask[name].shape, generator=draws) < kept for name in mask})
    inputs = torch.rand(widths[0], generator=draws, dtype=torch.float64)

    found = path_sums(model, inputs.view(1, -1), mask)

    expected, total = every_path(model, inputs, mask)
    for name in mask:
        close(found[name], expected[name] * (widths[-1] / total if total else 0))


def test_pruning_the_twin_later_is_the_same_as_before():
    model = perceptron([3, 4, 2])
    mask, inputs = half(model), ones(1, 3)
    twin = Twin(model, dense(model), CPU)
    twin.path_sums(inputs, list(mask))
    twin.prune(mask)

    found, expected = twin.path_sums(inputs, list(mask)), path_sums(model, inputs, mask)

    for name in mask:
        close(found[name], expected[name])


def test_biases_begin_paths_of_their_own_and_leave_those_of_the_input_alone():
    model = perceptron([3, 4, 2])
    names = [name for name, _ in model.named_parameters()]
    mask = Mask.dense(model, names)
    found = path_sums(model, ones(1, 3), mask)
    weights, biases = model[1].weight.detach().double().abs(), model[1].bias.detach().double().abs()

    # What flows out of a unit, by what flows into it: 1 for each input, and 1 for the bias.
    outflow = found["1.weight"].sum(1) / weights.sum(1)
    close(found["1.bias"], biases * outflow)
    with torch.no_grad():
        model[1].bias.mul_(-3)
    again = path_sums(model, ones(1, 3), mask)
    close(again["1.bias"], 3 * found["1.bias"])
    for name in names:
        if name != "1.bias":
            close(again[name], found[name])


def test_a_pruned_bias_has_no_score():
    model = perceptron([3, 4, 2])
    flags = {name: torch.ones_like(one, dtype=torch.bool) for name, one in model.named_parameters()}
    flags["1.bias"][2] = False

    found = path_sums(model, ones(1, 3), Mask(flags))

    assert (found["1.bias"] != 0).tolist() == [True, True, False, True]


# --- conservation -------------------------------------------------------------------------


def sequential(seed=0):
    """Convolutions, normalisation, pooling and a linear layer, one after the other."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(
            nn.Conv2d(2, 3, 3, padding=1, bias=False),
            nn.BatchNorm2d(3),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(3, 4, 2, bias=False),
            nn.GroupNorm(2, 4),
            nn.Hardswish(),
            nn.Flatten(),
            nn.Linear(4 * 9, 5, bias=False),
            nn.Sigmoid(),
            nn.Linear(5, 6, bias=False),
        )
        for module in model:
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
        model[1].running_var.uniform_(0.1, 4)
        model[1].running_mean.normal_()
    return model


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("start", [dense, half])
def test_what_flows_into_a_unit_flows_out_of_it(seed, start):
    model = sequential(seed)
    inputs = torch.rand(1, 2, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mask = start(model, "head") if start is dense else half(model, seed)
    names = [name for name, _ in model.named_parameters() if name.endswith("weight")]

    found = path_sums(model, inputs, mask, names)

    into = {"0.weight": (1, 2, 3), "1.weight": (), "4.weight": (1, 2, 3), "5.weight": ()}
    into |= {"8.weight": (1,), "10.weight": (1,)}
    out_of = {"1.weight": (), "4.weight": (0, 2, 3), "5.weight": (), "10.weight": (0,)}
    layers = list(into)
    for first, second in itertools.pairwise(layers):
        incoming = found[first].sum(into[first]) if into[first] else found[first]
        if second == "8.weight":
            outgoing = found[second].sum(0).view(4, 9).sum(1)
        else:
            outgoing = found[second].sum(out_of[second]) if out_of[second] else found[second]
        close(outgoing, incoming)
    for name in layers:
        close(found[name].sum(), 6)  # outputs


@pytest.mark.parametrize(
    "arch", mostly_slow([*CONVOLUTIONAL, "swin_t"], "resnet20", "mobilenet_v3_small")
)
def test_all_that_enters_leaves_in_real_networks(arch):
    model = build(arch)
    names = prunable(model, "head")

    found = path_sums(model, ones(1, 3, 32, 32))

    close(found[names[0]].sum(), 10)
    close(found[names[-1]].sum(), 10)


QUICK = [(arch, 32) for arch in ("resnet20", "resnet18", "mobilenet_v3_small", "vit_tiny")]
LARGE = [
    "convnext_tiny",
    "densenet121",
    "efficientnet_b0",
    "regnet_y_400mf",
    "squeezenet1_1",
    "swin_v2_t",
]


@pytest.mark.parametrize(
    ("arch", "size"),
    [
        *mostly_slow([(arch, 32) for arch in (*CONVOLUTIONAL, *TRANSFORMERS)], *QUICK),
        ("torchvision:shufflenet_v2_x0_5", 32),
        *(pytest.param(f"torchvision:{arch}", 32, marks=pytest.mark.slow) for arch in LARGE),
    ],
)
def test_every_layer_lies_on_a_path(arch, size):
    model = ModelSpec(arch, 10, 3, "cifar", size).build(0)

    found = path_sums(model, ones(1, 3, size, size))

    for name, scores in found.items():
        assert bool(torch.isfinite(scores).all())
        assert float(scores.min()) >= 0
        assert 1e-3 < float(scores.sum()) < 10.001, name


def test_nothing_overflows_however_deep():
    model = nn.Sequential(*(nn.Linear(2, 2, bias=False) for _ in range(300)))
    for module in model:
        nn.init.constant_(module.weight, 1e30)  # paths are worth 10 to the power of 9000

    found = path_sums(model, ones(1, 2))

    assert all(torch.equal(scores, torch.full((2, 2), 0.5).double()) for scores in found.values())


def test_a_dead_signal_stays_zero():
    model = perceptron([3, 4, 2])
    mask = Mask({"1.weight": torch.zeros(4, 3, dtype=torch.bool)})

    found = path_sums(model, ones(1, 3), mask, ["1.weight", "3.weight"])

    assert not found["1.weight"].any()
    assert not found["3.weight"].any()
    assert levelled(torch.zeros(3)).tolist() == [0, 0, 0]


# --- branches -----------------------------------------------------------------------------


class Branches(nn.Module):
    """Two branches, of which one has weights a million times smaller."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Linear(3, 3)
        self.large = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3))
        self.small = nn.Linear(3, 3)
        self.head = nn.Linear(3, 4)
        with torch.no_grad():
            self.small.weight.mul_(1e-6)

    def forward(self, signal):
        signal = self.stem(signal)
        return self.head(self.large(signal) + self.small(signal))


def test_branches_share_the_flow_whatever_their_weights():
    found = path_sums(Branches(), ones(1, 3))

    totals = {name: float(scores.sum()) for name, scores in found.items()}
    assert totals == pytest.approx(
        {"stem.weight": 4, "large.0.weight": 2, "large.2.weight": 2, "small.weight": 2}
        | {"head.weight": 4},
        rel=0.3,  # the head weighs the two branches' features
    )
    close(totals["large.0.weight"] + totals["small.weight"], 4.0)


def test_a_head_of_zeros_counts_as_ones_and_a_pruned_one_as_zeros():
    model = perceptron([3, 4, 2])
    ordinary = perceptron([3, 4, 2])
    with torch.no_grad():
        model[3].weight.zero_()
        ordinary[3].weight.fill_(1.0)
    empty = Mask({"1.weight": torch.ones(4, 3) > 0, "3.weight": torch.zeros(2, 4) > 0})

    close(path_sums(model, ones(1, 3))["1.weight"], path_sums(ordinary, ones(1, 3))["1.weight"])
    assert not path_sums(model, ones(1, 3), empty)["1.weight"].any()


# --- parts --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("norm", "channel"),
    [
        (nn.BatchNorm2d(4), 1),
        (nn.BatchNorm2d(4, affine=False), 1),
        (nn.BatchNorm2d(4, track_running_stats=False), 1),
        (nn.InstanceNorm2d(4, affine=True), 1),
        (nn.GroupNorm(2, 4), 1),
        (LayerNorm2d(4), 1),
        (nn.LayerNorm(4), 3),
        (nn.LayerNorm(4, elementwise_affine=False), 3),
        (nn.RMSNorm(4), 3),
    ],
)
@torch.no_grad()
def test_a_normalisation_is_its_scale(norm, channel):
    scale = torch.ones(4)
    if getattr(norm, "running_var", None) is not None:
        norm.running_var.copy_(torch.tensor([0.5, 1.0, 2.0, 4.0]))
        norm.running_mean.fill_(7.0)
        scale = scale / torch.sqrt(norm.running_var + norm.eps)
    if norm.weight is not None:
        norm.weight.copy_(torch.tensor([1.0, 2.0, 0.5, 3.0]))
        scale = scale * norm.weight
    signal = torch.rand(2, 4, 4, 4)

    found = linear(norm)(signal)

    expected = signal * scale.view([-1 if axis == channel else 1 for axis in range(4)])
    torch.testing.assert_close(found, expected / expected.mean())


def test_activations_are_dropped():
    kinds = [
        nn.ReLU,
        nn.GELU,
        nn.SiLU,
        nn.Hardswish,
        nn.Hardsigmoid,
        nn.ReLU6,
        nn.Softmax,
        nn.PReLU,
    ]

    assert all(isinstance(linear(kind()), nn.Identity) for kind in kinds)
    assert nn.MultiheadAttention not in ACTIVATIONS


def totals(model, inputs):
    """The flow through each parameter of a module, of all that leaves it."""
    names = [name for name, one in model.named_parameters() if one.ndim > 1]
    found = path_sums(model, inputs, Mask.dense(model, names))
    return {name: round(float(scores.sum()), 6) for name, scores in found.items()}


class Alone(nn.Module):
    """Attention of one signal to itself, or to ones of other widths."""

    def __init__(self, **settings):
        super().__init__()
        self.attention = nn.MultiheadAttention(4, 2, **settings)
        self.widths = self.attention.kdim, self.attention.vdim

    def forward(self, signal):
        others = (torch.ones_like(signal[..., :1]).repeat(1, 1, width) for width in self.widths)
        return self.attention(signal, *others, need_weights=False)[0]


def mixed_by_token(query, key, value):
    """Each token's query, and the keys and values of all, of shape (n, tokens, features)."""
    found = torch.zeros_like(query)
    for place in np.ndindex(*query.shape[:-1]):
        others = [(*place[:-1], token) for token in range(query.shape[-2])]
        found[place] = query[place] + sum(key[one] + value[one] for one in others) / len(others)
    return found


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@torch.no_grad()
def test_attention_adds_each_tokens_query_to_the_keys_and_values_of_all(batch_first, bias):
    attention = nn.MultiheadAttention(4, 2, batch_first=batch_first, bias=bias).double()
    inputs = torch.rand(2, 3, 4, dtype=torch.float64)
    weights, biases = attention.in_proj_weight.chunk(3), torch.zeros(3, 4)
    if bias:
        nn.init.normal_(attention.in_proj_bias)
        biases = attention.in_proj_bias.chunk(3)
    parts = [levelled(inputs @ w.T + b) for w, b in zip(weights, biases, strict=True)]
    mixed = mixed_by_token(*parts)
    tokens_first = inputs.transpose(0, 1)

    twin = linear(attention)
    signal = inputs if batch_first else tokens_first
    found, none = twin(signal, signal, signal, need_weights=False)

    assert none is None
    close(found if batch_first else found.transpose(0, 1), attention.out_proj(mixed))


@torch.no_grad()
def test_attention_of_grids_adds_each_tokens_query_to_the_keys_and_values_of_all():
    attention = RelativePositionalMultiHeadAttention(4, 2, 9).double()
    inputs = torch.rand(2, 3, 9, 4, dtype=torch.float64)
    mixed = mixed_by_token(*attention.to_qkv(inputs).chunk(3, dim=-1))

    close(linear(attention)(inputs), attention.merge(mixed))


def test_attention_lies_on_paths():
    found = totals(Alone(), ones(2, 3, 4))

    assert found == {"attention.in_proj_weight": 24, "attention.out_proj.weight": 24}


def test_attention_to_others_has_weights_of_its_own():
    model = Alone(kdim=3, vdim=5)

    found = totals(model, ones(2, 3, 4))

    parts = [found[f"attention.{name}_proj_weight"] for name in "qkv"]
    assert sum(parts) == pytest.approx(24)
    assert min(parts) > 4
    assert found["attention.out_proj.weight"] == 24


@pytest.mark.parametrize("shift", [0, 1])
def test_attention_of_windows_lies_on_paths(shift):
    plain = ShiftedWindowAttention(4, [2, 2], [shift, shift], 2)
    second = ShiftedWindowAttentionV2(4, [2, 2], [shift, shift], 2)

    found = totals(plain, ones(1, 5, 4, 4))
    assert {name: found[name] for name in ("qkv.weight", "proj.weight")} == {
        "qkv.weight": 80,
        "proj.weight": 80,
    }
    found = totals(second, ones(1, 5, 4, 4))
    assert found["proj.weight"] == 80
    assert 40 < found["qkv.weight"] < 79
    assert found["cpb_mlp.0.weight"] == found["cpb_mlp.2.weight"]
    assert found["qkv.weight"] + found["cpb_mlp.2.weight"] == pytest.approx(80)


def test_attention_of_grids_lies_on_paths():
    found = totals(RelativePositionalMultiHeadAttention(4, 2, 9), ones(1, 2, 9, 4))

    assert (found["to_qkv.weight"], found["merge.weight"]) == (72, 72)


def test_squeeze_and_excitation_adds_its_scale():
    model = nn.Sequential(nn.Conv2d(3, 4, 1), SqueezeExcitation(4, 2), nn.Conv2d(4, 5, 1))

    found = totals(model, ones(1, 3, 2, 2))

    assert (found["0.weight"], found["2.weight"]) == (20, 20)
    assert found["1.fc1.weight"] == found["1.fc2.weight"]
    assert 5 < found["1.fc1.weight"] < 15


def test_a_block_of_convnext_counts_whatever_its_layer_scale():
    model = nn.Sequential(CNBlock(4, 1e-6, 0.1), nn.Conv2d(4, 5, 1))

    found = totals(model, ones(1, 4, 2, 2))

    assert all(5 < found[f"0.block.{place}.weight"] < 15 for place in (0, 3, 5))
