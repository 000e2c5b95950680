"""Two processes do what one does with the same batches, to rounding."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mu.distributed.launch import call
from mu.training.objective import synchronised
from tests.distributed import cases
from tests.distributed.cases import COUNTS, METHODS, TOTALS, TUNES, WAYS, Folders
from tests.distributed.networks import NORMALISED, SMOOTH
from tests.processes import forking

CLOSE = {"rtol": 1e-9, "atol": 1e-11}  # rounding of float64 over some dozens of steps
slow = pytest.mark.slow


class Results(NamedTuple):
    """Of one, two and three processes, by name."""

    one: dict[str, Any]
    two: dict[str, Any]
    three: dict[str, Any]
    gone_on: dict[str, Any]  # one, with what two had kept


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Everything is computed once by each number; each goes on with what another one kept."""
    folder = tmp_path_factory.mktemp("progress")
    one = cases.all_of(Folders(folder / "one"))
    with forking():
        two = call(cases.all_of, Folders(folder / "two", folder / "one"), 2)
        shutil.copytree(folder / "two", folder / "of two")
        three = call(cases.few, Folders(folder / "three", folder / "two"), 3)
    return Results(one, two, three, {"gone on": cases.kept_training(folder / "of two")})


def assert_close(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        torch.testing.assert_close(value, other[name], **CLOSE)


def change(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> float:
    return max(float((one[name] - other[name]).abs().max()) for name in one)


@slow
def test_so_many_processes_worked(results: Results) -> None:
    assert [one["size"] for one in (results.one, results.two, results.three)] == [1, 2, 3]


@slow
@pytest.mark.parametrize("way", WAYS)
def test_an_original_is_the_same_by_two_processes(results: Results, way: str) -> None:
    alone, shared = (one[f"original, {way}"] for one in results[:2])
    assert_close(alone.weights, shared.weights)
    assert alone.mask == shared.mask
    arch = WAYS[way].get("arch", SMOOTH)
    initial = cases.make_recipe(cases.data_of(), arch=arch).model.build(0).state_dict()
    assert change(alone.weights, initial) > 1e-3, "nothing was learnt: the test could not fail"
    assert shared.samples_seen == alone.samples_seen
    assert [(r.name, r.step) for r in shared.records] == [(r.name, r.step) for r in alone.records]
    for ours, theirs in zip(shared.records, alone.records, strict=True):
        assert ours.value == pytest.approx(theirs.value, rel=1e-5), ours


@slow
def test_more_processes_than_a_batch_has_samples(results: Results) -> None:
    assert_close(results.one["few samples"].weights, results.three["few samples"].weights)


@slow
@pytest.mark.parametrize("arch", [SMOOTH, NORMALISED])
def test_all_ranks_end_with_the_same_weights_statistics_and_masks(
    results: Results, arch: str
) -> None:
    one, two = results.two[f"ranks, {arch}"]
    assert torch.equal(one, two)


@slow
def test_running_statistics_are_those_of_all_ranks(results: Results) -> None:
    """Each rank's batches have statistics of their own; the mean of both is what is kept."""
    theirs, ours = (one["statistics"].weights for one in results[:2])
    # The network hardly moves, so both have seen the same signals, in batches of 4 and of 8.
    torch.testing.assert_close(
        ours["1.running_mean"], theirs["1.running_mean"], rtol=1e-2, atol=1e-2
    )
    assert int(ours["1.num_batches_tracked"]) == int(theirs["1.num_batches_tracked"])


@slow
@pytest.mark.parametrize("way", METHODS)
def test_what_is_unlearnt_is_the_same_by_two_processes(results: Results, way: str) -> None:
    alone, shared = (one[f"unlearnt, {way}"] for one in results[:2])
    assert_close(alone.weights, shared.weights)
    assert alone.mask == shared.mask
    assert change(alone.weights, cases.sparse().model.state_dict()) > 1e-4
    assert shared.samples_seen == alone.samples_seen
    assert shared.notes == alone.notes
    for name in shared.mask:
        assert not shared.weights[name][~shared.mask[name]].any()


@slow
@pytest.mark.parametrize("tune", TUNES)
def test_a_transfer_is_the_same_by_two_processes(results: Results, tune: str) -> None:
    alone, shared = (one[f"transfer, {tune}"] for one in results[:2])
    assert_close(alone.weights, shared.weights)
    before = results.two["before transfer"]
    kept = torch.equal(shared.weights["first.weight"], before["first.weight"])
    assert kept == (tune == "head")


@slow
def test_evaluation_sees_every_sample_once(results: Results) -> None:
    one, two = (each["evaluated"] for each in results[:2])
    torch.testing.assert_close(one["logits"], two["logits"], rtol=1e-6, atol=1e-7)
    torch.testing.assert_close(one["labels"], two["labels"], rtol=0, atol=0)
    assert not any(one["kept"] + two["kept"])
    torch.testing.assert_close(one["scores"], two["scores"], rtol=1e-6, atol=1e-7)
    assert one["metrics"] == pytest.approx(two["metrics"])


@slow
@pytest.mark.parametrize("total", TOTALS)
def test_rows_are_gathered_in_their_order(results: Results, total: int) -> None:
    assert results.two[f"gathered, {total}"].tolist() == [[float(place)] for place in range(total)]


@slow
def test_weights_of_the_first_rank_are_given_to_all(results: Results) -> None:
    assert results.two["same weights"].tolist() == [[1.0], [1.0]]


@slow
@pytest.mark.parametrize("which", ["two", "three", "gone_on"])
def test_it_goes_on_with_another_number_of_processes(results: Results, which: str) -> None:
    """Two with what one kept, three with what two kept, one with what two kept."""
    whole, resumed = results.one["kept"], getattr(results, which)["gone on"]
    assert_close(resumed.weights, whole.weights)
    assert resumed.mask == whole.mask
    assert resumed.samples_seen == whole.samples_seen
    assert whole.samples_seen > 0


@slow
@pytest.mark.parametrize("count", COUNTS)
def test_a_step_is_the_plain_gradient_of_the_whole_batch(results: Results, count: int) -> None:
    """An oracle without any loop: w - lr * gradient of the mean over the batch."""
    data, model = cases.data_of(), cases.first_network()
    rows = np.arange(count)
    images = (data.train.pixels[rows].float() / 255 - data.mean[0]) / data.std[0]
    loss = F.cross_entropy(model(images), data.train.labels[rows])
    gradients = torch.autograd.grad(loss, list(model.parameters()))
    for (name, weight), gradient in zip(model.named_parameters(), gradients, strict=True):
        right, found = weight.detach() - 0.5 * gradient, results.two[f"step, {count}"][name]
        torch.testing.assert_close(found, right, rtol=1e-6, atol=1e-8)


@slow
@pytest.mark.parametrize("which", ["two", "three"])
def test_fisher_information_and_gradients_are_of_all_ranks_samples(
    results: Results, which: str
) -> None:
    for one, many in zip(
        results.one["information"], getattr(results, which)["information"], strict=True
    ):
        torch.testing.assert_close(one, many)
        assert bool(many.any())


@slow
def test_a_loss_that_is_nan_ends_all_ranks(results: Results) -> None:
    assert "lower lr" in results.two["mistake"]
    assert results.two["mistake"] == results.one["mistake"]


# --- synchronised batch normalisation -----------------------------------------------------


def test_synchronised_normalisation_keeps_every_tensor_and_is_undone() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Sequential(nn.BatchNorm2d(2), nn.ReLU()))
    before = list(model.modules())
    tensors = dict([*model.named_parameters(), *model.named_buffers()])
    with synchronised(model):
        inner = model[1][0]
        assert isinstance(inner, nn.SyncBatchNorm)
        inside = dict([*model.named_parameters(), *model.named_buffers()])
        assert inside.keys() == tensors.keys()
        assert all(inside[name] is tensors[name] for name in tensors)
    assert list(model.modules()) == before
    assert all(one is other for one, other in zip(model.modules(), before, strict=True))
