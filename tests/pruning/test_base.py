"""What all pruners share: counts over rounds, the seed of draws, and collapsed layers."""

from dataclasses import dataclass
from fractions import Fraction

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from mu.masks import Mask
from mu.pruning.base import Pruner, emptied
from mu.runs import Run
from tests.helpers import laws, refused
from tests.pruning.networks import DATA

NAMES = "abcdefg"


@dataclass(frozen=True)
class Only(Pruner):
    """Keeps the first ``keep`` weights; remembers what it was given."""

    def choose(self, model, mask, keep, context):
        looks.append(context)
        flags = torch.cat([mask[name].reshape(-1) for name in mask])
        flags[flags.nonzero()[keep:]] = False
        parts = flags.split([mask[name].numel() for name in mask])
        return Mask(
            {name: part.view_as(mask[name]) for name, part in zip(mask, parts, strict=True)}
        )


looks = []


def network():
    """Parameters of two weights each, and the mask that keeps them."""
    model = nn.ParameterDict({name: nn.Parameter(torch.ones(2)) for name in NAMES})
    return model, Mask.dense(model, list(NAMES))


@laws(200)
@given(total=st.integers(0, 10**7), percent=st.integers(0, 999), rounds=st.integers(1, 12))
def test_counts_over_rounds_are_exact_to_one_weight(total, percent, rounds):
    rate = Fraction(percent, 1000)
    pruner = Only(rate=float(rate), rounds=rounds)

    keeps = [pruner.keeps(total, number) for number in range(rounds + 1)]

    exact = [total * (1 - rate) ** number for number in range(rounds + 1)]
    assert keeps[0] == total
    assert all(
        abs(keep - one) <= Fraction(501, 1000) for keep, one in zip(keeps, exact, strict=True)
    )
    assert sorted(keeps, reverse=True) == keeps


def test_by_default_a_share_of_what_is_kept_goes():
    model, mask = network()
    first = Only(rate=0.5).prune(model, mask, DATA, Run(device="cpu"))

    assert (mask.kept, first.kept) == (14, 7)
    assert Only(rate=0.5).prune(model, first, DATA, Run(device="cpu")).kept == 3


def test_a_pruner_looks_at_the_data_and_the_run_that_it_is_given():
    model, mask = network()
    run = Run(device="cpu", seed=3)
    looks.clear()
    for seed in (None, 3, 4):
        Only(rate=0.5).prune(model, mask, DATA, run, seed=seed)

    drawn = [torch.rand(4, generator=context.draws).tolist() for context in looks]
    assert all(context.data is DATA and context.run is run for context in looks)
    assert drawn[0] == drawn[1] != drawn[2]


@pytest.mark.parametrize(("keep", "empty"), [(14, 0), (13, 0), (12, 1), (3, 5), (2, 6), (0, 7)])
def test_layers_that_lose_their_last_weight_are_told(keep, empty):
    model, mask = network()
    run = Run(device="cpu")

    found = Only().prune(model, mask, DATA, run, keep=keep)

    assert found.kept == keep
    if not empty:
        assert run.notes == []
        return
    named = ", ".join(NAMES[len(NAMES) - empty :][:5])
    more = f" and {empty - 5} more" if empty > 5 else ""
    share = 100 * (1 - keep / 14)
    assert run.notes == [
        f"pruning to {share:.2f} % leaves no weight in {named}{more}; a lower rate would keep some"
    ]
    with refused(f"leaves no weight in {named}{more}; lower rate", "on_collapse=warn"):
        Only(on_collapse="refuse").prune(model, mask, DATA, run, keep=keep)


def test_a_layer_that_was_empty_before_is_not_told_again():
    model, mask = network()
    first = Only().prune(model, mask, DATA, Run(device="cpu"), keep=4)
    run = Run(device="cpu")

    Only(on_collapse="refuse").prune(model, first, DATA, run, keep=3)

    assert run.notes == []


def test_biases_and_scales_are_no_layers_where_all_is_prunable():
    model = nn.ParameterDict({"bias": torch.ones(2), "weight": torch.ones(2, 2)})
    whole = Mask.dense(model, ["bias", "weight"])
    nothing = Mask({name: torch.zeros_like(whole[name]) for name in whole})

    assert emptied(whole, nothing, "all") == "weight"
    assert emptied(whole, nothing, "body") == "bias, weight"
    assert emptied(whole, whole, "all") == emptied(nothing, nothing, "all") == ""
