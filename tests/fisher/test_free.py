"""The vector of free weights, against boolean indexing, one sample at a time."""

import copy
import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.fisher.free import FreeWeights
from mu.fisher.layers import Piece
from mu.masks import Mask
from tests.fisher import slow
from tests.helpers import bits, laws, prunable, random_mask
from tests.pruning.networks import Net


def network(seed=0):
    return Net(seed).to(memory_format=torch.channels_last)


def one_kept(model, place):
    """The mask that keeps a single weight of all that can be pruned."""
    names = prunable(model)
    kept = {name: torch.zeros_like(model.get_parameter(name), dtype=torch.bool) for name in names}
    kept[names[-1]].view(-1)[place] = True
    return Mask(kept)


MASKS = {
    "dense": lambda model: Mask.dense(model, prunable(model)),
    "of no layer": lambda _model: Mask({}),
    "sparse": lambda model: random_mask(model, prunable(model), kept=0.3),
    "one layer dense": lambda model: random_mask(model, ["conv2.weight"], kept=0.5),
    "biases too": lambda model: random_mask(model, prunable(model, "all"), kept=0.5),
    "one kept": lambda model: one_kept(model, 5),
    "none kept": lambda model: random_mask(model, prunable(model), kept=0.0),
}


@pytest.fixture(params=MASKS)
def masked(request):
    model = network()
    mask = MASKS[request.param](model)
    mask.apply(model)
    return model, mask


def check_round_trip(model, mask, seed=0):
    free = FreeWeights(model, mask)
    now = free.now()
    assert free.size == len(now) == slow.weights(model, mask).numel()
    assert torch.equal(now, slow.weights(model, mask))

    draws = torch.Generator().manual_seed(seed)
    fresh = torch.randn(free.size, generator=draws)
    for parameter in model.parameters():
        parameter.data.fill_(torch.nan)  # nothing of what stood there may be left
    free.write(fresh)
    assert torch.equal(free.now(), fresh)
    assert torch.equal(slow.weights(model, mask), fresh)
    for name in mask:
        assert not bits(model.get_parameter(name)[~mask[name]]).any(), "pruned: exactly +0.0"


def check_rows(model, mask, seed=0, count=3):
    """Gradients in stretches of any length, in any order, land where they belong."""
    rng = np.random.default_rng(seed)
    whole = [torch.from_numpy(rng.normal(size=(count, *one.shape))) for one in model.parameters()]
    pieces = []
    for parameter, values in zip(model.parameters(), whole, strict=True):
        cuts = np.unique([0, parameter.numel(), *rng.integers(0, parameter.numel(), 3)])
        pieces += [
            Piece(parameter, int(start), values.reshape(count, -1)[:, start:end])
            for start, end in itertools.pairwise(cuts)
        ]
    rng.shuffle(pieces)
    free = FreeWeights(model, mask)
    into = torch.full((count, free.size), torch.nan, dtype=torch.float64)
    assert free.rows((Piece(*one) for one in pieces), into) is into
    for number, row in enumerate(into):
        expected = slow.kept(model, mask, [values[number] for values in whole])
        assert torch.equal(row, expected)
        assert torch.equal(free.vector(values[number] for values in whole), expected)


def test_now_and_write(masked):
    check_round_trip(*masked)


def test_rows_and_vector(masked):
    check_rows(*masked)


@given(st.integers(0, 2**20), st.sampled_from([0.02, 0.3, 0.9]), st.booleans())
@laws(25)
def test_any_mask(seed, kept, all_of_them):
    model = network(seed)
    mask = random_mask(
        model, prunable(model, "all" if all_of_them else "body"), kept=kept, seed=seed
    )
    mask.apply(model)
    check_rows(model, mask, seed)
    check_round_trip(model, mask, seed)


def test_what_no_piece_covers_is_zero(masked):
    model, mask = masked
    free = FreeWeights(model, mask)
    into = torch.full((2, free.size), torch.nan)
    bias = model.hidden.bias
    free.rows([Piece(bias, 0, torch.ones(2, len(bias)))], into)
    of_bias = [
        torch.ones_like(one) if one is bias else torch.zeros_like(one) for one in model.parameters()
    ]
    assert torch.equal(into, slow.kept(model, mask, of_bias).expand(2, -1))


def test_rows_may_be_rows_of_a_larger_matrix(masked):
    model, mask = masked
    free = FreeWeights(model, mask)
    whole = torch.zeros(4, free.size)
    one = model.conv2.weight
    free.rows([Piece(one, 0, torch.ones(2, one.numel()))], whole[1:3])
    assert whole[1:3].sum() == 2 * (
        mask["conv2.weight"].sum() if "conv2.weight" in mask else one.numel()
    )
    assert not whole[0].any()
    assert not whole[3].any()


def test_the_weights_of_now_are_a_copy():
    model = network()
    for mask in (Mask({}), one_kept(model, 0)):
        free = FreeWeights(model, mask)
        now = free.now()
        before = now.clone()
        free.write(now + 1)
        assert torch.equal(now, before)
        now.zero_()
        assert not torch.equal(free.now(), now)


def test_writing_leaves_layout_flags_and_buffers_alone(masked):
    model, mask = masked
    before = copy.deepcopy(model)
    free = FreeWeights(model, mask)
    free.write(free.now().double())
    for (name, one), old in zip(model.named_parameters(), before.parameters(), strict=True):
        assert one.stride() == old.stride(), name
        assert one.requires_grad, name
        assert one.dtype == old.dtype, name
        assert torch.equal(one, old), name
    for one, old in zip(model.buffers(), before.buffers(), strict=True):
        assert torch.equal(one, old)
