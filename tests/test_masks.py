"""The laws of masks: what is packed, fingerprinted, applied and refused."""

import json
import math

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import nn

from mu.masks import Mask
from tests.helpers import bits, laws, random_mask, refused, same_masks

NAMES = st.from_regex(r"[a-z]{1,4}[0-9]?(\.[a-z0-9]{1,3}){0,2}", fullmatch=True)
SHAPES = hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5)
BITS = hnp.arrays(np.bool_, SHAPES)
KEPT = st.dictionaries(NAMES, BITS, max_size=4)
FORMAT = "mu.mask/1"


def mask_of(kept):
    return Mask({name: torch.from_numpy(array.copy()) for name, array in kept.items()})


class Bag(nn.Module):
    """A module that holds parameters of any shape and has no layers."""

    def __init__(self, values):
        super().__init__()
        for name, value in values.items():
            self.register_parameter(name, nn.Parameter(value.clone()))


# --- packing ------------------------------------------------------------------------------


@laws(60)
@given(kept=KEPT)
def test_saving_and_loading_gives_the_same_names_shapes_and_bits(kept, tmp_path):
    loaded = Mask.load(mask_of(kept).save(tmp_path / "mask.safetensors"))

    assert list(loaded) == sorted(kept)
    for name, array in kept.items():
        assert loaded[name].dtype == torch.bool
        assert loaded[name].shape == array.shape
        assert np.array_equal(loaded[name].numpy(), array)


@laws()
@given(kept=KEPT)
def test_the_file_spends_one_bit_on_a_weight(kept):
    packed = load_tensors(mask_of(kept).to_bytes())

    assert {name: len(tensor) for name, tensor in packed.items()} == {
        name: math.ceil(array.size / 8) for name, array in kept.items()
    }


# --- fingerprint and equality -------------------------------------------------------------


@laws()
@given(kept=KEPT, data=st.data())
def test_the_fingerprint_does_not_depend_on_the_order_of_insertion(kept, data):
    order = data.draw(st.permutations(list(kept)))
    one, other = mask_of(kept), mask_of({name: kept[name] for name in order})

    assert one.fingerprint == other.fingerprint
    assert one == other
    assert hash(one) == hash(other)
    assert list(one) == list(other)


def test_the_bytes_of_a_mask_are_the_same_every_time():
    kept = {"b": np.arange(20) % 3 == 0, "a": np.ones((2, 5), bool)}

    # A writer that keeps its header in a hash table would pass once, not thirty times.
    assert len({mask_of(kept).to_bytes() for _ in range(30)}) == 1


def test_the_fingerprint_of_a_known_mask_never_changes():
    # Runs are found by it: a change here orphans every mask that was logged before.
    mask = mask_of({"conv.weight": np.arange(18).reshape(2, 9) % 4 == 0})

    assert mask.fingerprint == "78d152ee1b381fda94139054df36c8ab1916b79294b885adb6ac497fa08aa9a3"


@laws(60)
@given(one=KEPT, other=KEPT)
def test_masks_are_equal_exactly_where_all_bits_are(one, other):
    left, right = mask_of(one), mask_of(other)

    assert (left == right) == same_masks(left, right)
    assert (left.fingerprint == right.fingerprint) == same_masks(left, right)


@laws()
@given(
    array=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, max_side=6)),
    data=st.data(),
)
def test_one_bit_one_name_or_one_shape_makes_another_mask(array, data):
    mask = mask_of({"w": array})
    changed = array.copy()
    changed.reshape(-1)[data.draw(st.integers(0, array.size - 1))] ^= True

    others = [{"w": changed}, {"v": array}, {"w": array[None]}, {"w": array, "z": array}]

    assert len({mask.fingerprint, *(mask_of(other).fingerprint for other in others)}) == 5
    assert all(mask != mask_of(other) for other in others)


def test_a_mask_is_not_equal_to_a_mapping_of_the_same_tensors():
    kept = {"w": torch.tensor([True, False])}

    assert Mask(kept) != kept


# --- immutability -------------------------------------------------------------------------


@laws()
@given(kept=KEPT)
def test_nothing_that_goes_in_or_comes_out_can_change_a_mask(
    kept,
):
    given_ = {name: torch.from_numpy(array.copy()) for name, array in kept.items()}
    mask = Mask(given_)
    before = mask.to_bytes()

    for tensor in given_.values():
        tensor.logical_not_()
    for name in mask:
        mask[name].logical_not_()
    for tensor in mask.values():
        tensor.fill_(False)
    for _, tensor in mask.items():
        tensor.fill_(True)
    given_["new"] = torch.ones(3, dtype=torch.bool)

    assert mask.to_bytes() == before
    assert mask.fingerprint == mask_of(kept).fingerprint
    assert set(mask) == set(kept)


def test_a_mask_has_no_item_assignment():
    mask = Mask({"w": torch.ones(2, dtype=torch.bool)})

    with pytest.raises(TypeError):
        mask["w"] = torch.zeros(2, dtype=torch.bool)


def test_binding_and_applying_leave_the_mask_alone():
    model = nn.Linear(3, 2)
    mask = Mask({"weight": torch.tensor([[True, False, True], [False, False, True]])})
    before = mask.to_bytes()

    bound = mask.bind(model)
    model.weight.grad = torch.ones(2, 3)
    bound.mask_gradients()
    bound.apply()

    assert mask.to_bytes() == before


@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32, torch.int64])
def test_a_tensor_that_is_not_bool_is_refused_by_name(dtype):
    with pytest.raises(TypeError, match=r"layer\.weight.*bool"):
        Mask({"layer.weight": torch.ones(2, dtype=dtype)})


# --- counting -----------------------------------------------------------------------------


@laws()
@given(kept=KEPT)
def test_counts_and_sparsity_are_those_of_numpy(kept):
    flat = np.concatenate([array.reshape(-1) for array in kept.values()] or [np.zeros(0, bool)])
    mask = mask_of(kept)

    assert (mask.total, mask.kept) == (flat.size, np.count_nonzero(flat))
    assert mask.is_dense == bool(flat.all())
    expected = 100 * np.count_nonzero(~flat) / flat.size if flat.size else 0.0
    assert mask.sparsity == pytest.approx(expected, abs=1e-9)


@laws()
@given(
    kept=st.dictionaries(
        NAMES,
        hnp.arrays(np.bool_, hnp.array_shapes(min_dims=0, max_dims=3, max_side=5)),
        min_size=1,
        max_size=4,
    )
)
def test_the_summary_is_json_and_tells_each_layer(kept):
    mask = mask_of(kept)

    summary = json.loads(json.dumps(mask.summary(), allow_nan=False))

    assert summary["fingerprint"] == mask.fingerprint
    assert [layer["name"] for layer in summary["layers"]] == sorted(kept)
    for layer in summary["layers"]:
        array = kept[layer["name"]]
        assert tuple(layer["shape"]) == array.shape
        assert (layer["kept"], layer["total"]) == (np.count_nonzero(array), array.size)
        assert layer["sparsity"] == pytest.approx(100 * (1 - array.mean()), abs=1e-4)
    assert sum(layer["kept"] for layer in summary["layers"]) == summary["kept"]


def test_a_dense_mask_keeps_every_weight_of_the_named_parameters():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Linear(4, 5))

    mask = Mask.dense(model, ["0.weight"])

    assert list(mask) == ["0.weight"]
    assert mask["0.weight"].shape == (2, 1, 3, 3)
    assert mask.is_dense
    assert mask.sparsity == 0


@laws()
@given(first=BITS, second=BITS, seed=st.integers(0, 1000))
def test_of_the_kept_weights_those_that_are_not_zero(first, second, seed):
    kept = {"v": first, "w": second}
    draws, choices = np.random.default_rng(seed), np.array([0.0, -0.0, 1e-30, -2.0, math.nan])
    values = {name: draws.choice(choices, array.shape) for name, array in kept.items()}
    model = Bag({name: torch.tensor(value) for name, value in values.items()})

    found = mask_of(kept).nonzero(model)

    expected = {n: np.asarray(kept[n] & (values[n] != 0)) for n in kept}
    assert same_masks(found, mask_of(expected))


# --- enforcing ----------------------------------------------------------------------------

POISON = [math.nan, -1.0, -0.0, math.inf, -math.inf, 1e30]


@laws()
@given(
    array=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=4, max_side=4)),
    dtype=st.sampled_from([torch.float32, torch.float64, torch.bfloat16]),
    seed=st.integers(0, 1000),
)
def test_applying_keeps_weights_to_the_bit_and_makes_the_others_plus_zero(array, dtype, seed):
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(0, len(POISON), array.shape, generator=generator)
    model = Bag({"w": torch.tensor(POISON)[chosen].to(dtype), "free": torch.tensor(POISON)})
    before = model.get_parameter("w").detach().clone()
    free = model.get_parameter("free").detach().clone()

    mask_of({"w": array}).apply(model)

    after = model.get_parameter("w").detach()
    kept = torch.from_numpy(array)
    assert np.array_equal(bits(after[kept]), bits(before[kept]))
    assert not bits(after[~kept]).any(), "pruned weights must be +0.0"
    assert np.array_equal(bits(model.get_parameter("free")), bits(free))


def test_applying_works_on_weights_in_channels_last_order():
    model = nn.Conv2d(4, 6, 3).to(memory_format=torch.channels_last)
    mask = random_mask(model, ["weight"], kept=0.3)
    expected = torch.where(mask["weight"], model.weight.detach(), 0.0)

    mask.apply(model)

    assert torch.equal(model.weight.detach(), expected)
    assert model.weight.is_contiguous(memory_format=torch.channels_last)


@laws()
@given(array=hnp.arrays(np.bool_, hnp.array_shapes(min_dims=1, max_dims=3, max_side=5)))
def test_gradients_of_pruned_weights_are_zeroed_and_no_others(array):
    kept = torch.from_numpy(array)
    model = Bag({"w": torch.randn(array.shape), "quiet": torch.ones(3), "free": torch.ones(2)})
    mask = Mask({"w": kept, "quiet": torch.tensor([True, False, True])})
    gradient = torch.randn(array.shape)
    model.get_parameter("w").grad = gradient.clone()
    model.get_parameter("free").grad = torch.full((2,), 7.0)

    mask.bind(model).mask_gradients()

    found = model.get_parameter("w").grad
    assert found is not None
    assert np.array_equal(bits(found[kept]), bits(gradient[kept]))
    assert not found[~kept].any()
    assert model.get_parameter("quiet").grad is None
    assert torch.equal(model.get_parameter("free").grad, torch.full((2,), 7.0))


def test_momentum_older_than_the_mask_cannot_revive_a_pruned_weight():
    torch.manual_seed(0)
    model = nn.Linear(6, 4, bias=False)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)

    def step(bound=None):
        optimizer.zero_grad()
        model(torch.ones(2, 6)).square().sum().backward()
        if bound is not None:
            bound.mask_gradients()
        optimizer.step()

    step()
    mask = random_mask(model, ["weight"], kept=0.5)
    bound = mask.bind(model)
    bound.apply()
    step(bound)
    pruned = ~mask["weight"]
    assert model.weight.detach()[pruned].any(), "the old momentum alone moves pruned weights"
    bound.apply()

    assert not bits(model.weight.detach()[pruned]).any()


def test_a_dense_mask_enforces_nothing():
    model = Bag({"w": torch.tensor(POISON)})
    before = bits(model.get_parameter("w")).copy()
    bound = Mask.dense(model, ["w"]).bind(model)
    model.get_parameter("w").grad = torch.tensor([math.nan] * len(POISON))

    bound.mask_gradients()
    bound.apply()

    assert np.array_equal(bits(model.get_parameter("w")), before)
    assert model.get_parameter("w").grad.isnan().all()


# --- refusing -----------------------------------------------------------------------------


@pytest.mark.parametrize("verb", ["check", "bind", "apply"])
def test_a_missing_parameter_is_named_and_the_model_is_left_alone(verb):
    model = nn.Linear(3, 2)
    before = model.weight.detach().clone()
    mask = Mask(
        {
            "weight": torch.zeros(2, 3, dtype=torch.bool),
            "zzz.weight": torch.ones(2, dtype=torch.bool),
        }
    )

    with refused("'zzz.weight'", "does not have"):
        getattr(mask, verb)(model)
    assert torch.equal(model.weight.detach(), before)


@pytest.mark.parametrize("verb", ["check", "bind", "apply"])
def test_a_parameter_of_another_shape_is_named_with_both_shapes(verb):
    mask = Mask({"weight": torch.ones(3, 2, dtype=torch.bool)})

    with refused("'weight'", "[3, 2]", "[2, 3]"):
        getattr(mask, verb)(nn.Linear(3, 2))


def test_a_missing_file_and_a_folder_are_no_mask(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with refused(str(path)):
            Mask.load(path)


@laws(50)
@given(kept=st.dictionaries(NAMES, BITS, min_size=1, max_size=3), data=st.data())
def test_a_truncated_file_is_refused_at_every_length(kept, data, tmp_path):
    whole = mask_of(kept).to_bytes()
    path = tmp_path / "mask.safetensors"
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole) - 1))])

    with refused(str(path)):
        Mask.load(path)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"not a safetensors file",
        save_tensors({"w": torch.zeros(1, dtype=torch.uint8)}),
        save_tensors({"w": torch.randn(3)}, metadata={"format": "pt"}),
        save_tensors({"w": torch.zeros(1, dtype=torch.uint8)}, metadata={"mu.mask/99": "{}"}),
    ],
    ids=["empty", "text", "no metadata", "weights", "another format"],
)
def test_a_file_that_is_no_mask_of_mu_is_refused(content, tmp_path):
    path = tmp_path / "mask.safetensors"
    path.write_bytes(content)

    with refused(str(path)):
        Mask.load(path)


ONE_BYTE = torch.zeros(1, dtype=torch.uint8)


@pytest.mark.parametrize(
    ("shapes", "packed"),
    [
        ('{"w": [9]}', ONE_BYTE),
        ('{"w": [0]}', ONE_BYTE),
        ('{"w": [-2, -4]}', ONE_BYTE),
        ('{"w": [8], "v": [8]}', ONE_BYTE),
        ('{"w": [1]}', torch.zeros(1)),
        ('{"w": [8', ONE_BYTE),
        ('["w"]', ONE_BYTE),
        ("5", ONE_BYTE),
        ('{"w": null}', ONE_BYTE),
        ('{"w": [2.5]}', ONE_BYTE),
        ('{"w": "xy"}', ONE_BYTE),
        ('{"w": [true]}', ONE_BYTE),
    ],
)
def test_a_header_that_disagrees_with_the_bits_is_refused(shapes, packed, tmp_path):
    path = tmp_path / "mask.safetensors"
    path.write_bytes(save_tensors({"w": packed}, metadata={FORMAT: shapes}))

    with refused(str(path)):
        Mask.load(path)


def test_a_tensor_that_the_header_does_not_name_is_refused(tmp_path):
    path = tmp_path / "mask.safetensors"
    tensors = {"w": ONE_BYTE, "stowaway": ONE_BYTE.clone()}
    path.write_bytes(save_tensors(tensors, metadata={FORMAT: '{"w": [8]}'}))

    with refused(str(path)):
        Mask.load(path)
