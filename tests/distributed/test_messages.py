"""What processes send each other arrives as it was, and is nobody else's."""

from __future__ import annotations

import gc
from multiprocessing import Pipe

import pytest
import torch
from torch import nn

from mu.data.images import Images, Subset
from mu.distributed import messages
from mu.distributed.messages import Copying, forget_but, from_bytes, receive, send
from mu.masks import Mask
from tests.helpers import make_images


@pytest.fixture(autouse=True)
def _nothing_held():
    yield
    forget_but([])


def passed(message):
    return from_bytes(Copying().of(message))


@pytest.mark.parametrize(
    "tensor",
    [
        torch.arange(6.0).view(2, 3),
        torch.tensor(3.5),
        torch.empty(0, 4),
        torch.tensor([True, False, True]),
        torch.randn(3, 5).to(torch.bfloat16),
        torch.randn(2, 4, 3, 3).to(memory_format=torch.channels_last),
        torch.randn(4, 6)[::2, 1::2],
        torch.arange(5, dtype=torch.int64),
        torch.ones(2, requires_grad=True),
    ],
    ids=str,
)
def test_a_tensor_arrives_as_it_was(tensor):
    found = passed({"it": tensor})["it"]
    assert found.dtype == tensor.dtype
    assert found.requires_grad == tensor.requires_grad
    assert torch.equal(found, tensor)


def test_a_network_arrives_as_a_copy():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)).requires_grad_(True)
    model[0].bias.requires_grad_(False)
    found = passed(model)
    assert [one.requires_grad for one in found.parameters()] == [True, False, True, True]
    assert found.state_dict().keys() == model.state_dict().keys()
    with torch.no_grad():
        for one in found.state_dict().values():
            one += 1
    assert not any(one.is_shared() for one in model.parameters())
    for name, one in model.state_dict().items():
        assert torch.equal(found.state_dict()[name], one + 1)


def test_a_mask_arrives_as_it_was():
    mask = Mask({"a": torch.tensor([[True, False], [False, False]]), "b": torch.ones(3).bool()})
    assert passed(mask) == mask


def test_images_are_sent_once_and_let_go():
    copying, images = Copying(), make_images([0, 1] * 500)
    one, other = (Subset(images, images.labels.numpy()[:5], (0.0,), (1.0,)) for _ in range(2))
    first = copying.of([one, other])
    second = copying.of(other)
    assert len(first) > images.pixels.numel() > 10 * len(second)
    found, again = from_bytes(first), from_bytes(second)
    assert found[0].images is found[1].images is again.images
    assert torch.equal(again.images.pixels, images.pixels)
    assert torch.equal(again.images.labels, images.labels)
    (number,) = copying.held()
    forget_but([number])
    assert set(messages._IMAGES) == {number}
    del images, one, other
    gc.collect()
    assert copying.held() == []
    forget_but(copying.held())
    assert not messages._IMAGES


def test_other_images_are_not_taken_for_those_that_are_gone():
    copying = Copying()
    for label in (0, 1):
        images = make_images([label] * 3)
        found = from_bytes(copying.of(images))
        assert found.labels.tolist() == [label] * 3
        del images
        gc.collect()


def test_what_goes_one_way_only_holds_nothing():
    ours, theirs = Pipe()
    images = make_images([0, 1])
    send(ours, images)
    found = receive(theirs)
    assert isinstance(found, Images)
    assert torch.equal(found.pixels, images.pixels)
    assert not messages._IMAGES
    ours.close()
    with pytest.raises(EOFError):
        receive(theirs)
