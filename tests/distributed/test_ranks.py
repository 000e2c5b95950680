"""How ranks share samples."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mu.data.batches import Batches, Share
from mu.data.images import Images, Subset
from mu.distributed.ranks import ALONE, Ranks
from tests.helpers import laws, make_images

CPU = torch.device("cpu")


@given(st.integers(0, 50), st.integers(0, 200), st.integers(1, 9))
@laws()
def test_parts_cover_all_places_once_and_are_of_one_size(start, count, size):
    parts = [Ranks(rank, size).part(start, start + count) for rank in range(size)]
    assert [place for first, last in parts for place in range(first, last)] == list(
        range(start, start + count)
    )
    sizes = [last - first for first, last in parts]
    assert max(sizes) - min(sizes) <= 1


def test_one_alone_has_all_and_hears_only_itself():
    values = torch.arange(6.0).view(3, 2)
    assert ALONE.part(3, 9) == (3, 9)
    assert ALONE.add_up(values) is values
    assert ALONE.gather(values, 3) is values
    assert ALONE.same("it") == "it"
    ALONE.average([values])
    assert torch.equal(values, torch.arange(6.0).view(3, 2))
    assert ALONE.suffix == ""


def test_no_two_ranks_draw_alike_and_the_first_draws_as_one_alone():
    suffixes = [Ranks(rank, 3).suffix for rank in range(3)]
    assert suffixes[0] == ALONE.suffix
    assert len({*suffixes}) == 3


def subset(count: int) -> Subset:
    images = make_images([number % 3 for number in range(count)])
    numbered = torch.arange(count, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 8, 8)
    return Subset(Images(numbered.contiguous(), images.labels), np.arange(count), (0.0,), (1.0,))


@given(st.integers(2, 60), st.integers(1, 20), st.integers(2, 5), st.booleans())
@laws()
def test_ranks_share_each_batch_of_the_one_order(count, batch_size, size, augmented):
    """Together they see what one process sees, batch by batch, and weights make up for sizes."""
    data = subset(count)
    augment = "crop_flip" if augmented else "none"

    def epoch(ranks: Ranks) -> tuple[list[torch.Tensor], list[Share]]:
        batches = Batches(data, batch_size, CPU, augment=augment, ranks=ranks)
        draws = torch.Generator().manual_seed(3)
        return [images for images, _ in batches.shuffled(draws)], batches.shares

    whole, _ = epoch(ALONE)
    each = [epoch(Ranks(rank, size)) for rank in range(size)]
    for number, images in enumerate(whole):
        own = [(parts[number], shares[number]) for parts, shares in each]
        assert all(len(part) >= 1 for part, _ in own)
        assert torch.equal(torch.cat([part[: share.own] for part, share in own]), images)
        assert sum(share.weight for _, share in own) == pytest.approx(size)
        # The mean of weighted means is the mean of all.
        means = [share.weight * part.mean() for part, share in own]
        assert float(sum(means) / size) == pytest.approx(float(images.mean()), rel=1e-5)


def test_a_part_without_samples_holds_one_without_weight():
    batches = Batches(subset(2), 4, CPU, ranks=Ranks(2, 3))
    ((images, labels),) = batches.in_order()
    assert len(images) == len(labels) == 1
    assert batches.shares == [Share(0, 2, 3)]
    assert batches.shares[0].weight == 0


def test_alone_every_batch_has_the_weight_one():
    assert {share.weight for share in Batches(subset(7), 3, CPU).shares} == {1.0}
