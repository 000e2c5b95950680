"""``mu import``: originals of other programs become prune runs, and what does not fit is named."""

from __future__ import annotations

import json
import os
import re
from collections import OrderedDict
from collections.abc import Callable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import prune

import mu
from entrypoints import prune as prune_program
from mu.checkpoints import DataSpec
from mu.cli import importing
from mu.data.images import ImageDataset
from mu.evaluation.outputs import predict
from mu.foreign.entries import sort_out
from mu.foreign.originals import Imported, import_original
from mu.methods.retrain import Retrain
from mu.tracking import Store
from tests.cli.foreign_files import (
    MEAN,
    STD,
    dense_weights,
    masks_of,
    network,
    paper_checkpoint,
    paper_network,
    prefixed,
    put_under_pruning,
    save,
)
from tests.commands import Program, call
from tests.helpers import mostly_slow, prunable, refused

PAGE = Path(__file__).parents[2] / "docs" / "names.md"


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return mu.load_data("digits")


def weights_in(imported: Imported) -> dict[str, Tensor]:
    return dict(imported.checkpoint.model.state_dict())


def same(one: Mapping[str, Tensor], other: Mapping[str, Tensor]) -> bool:
    """Whether names and values agree, to the bit."""
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# --- what a file holds --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "prefix"),
    mostly_slow([("resnet18", "module."), ("resnet20", "")], ("resnet20", "")),
)
def test_a_checkpoint_of_the_papers_repository(
    digits: ImageDataset, tmp_path: Path, arch: str, prefix: str
) -> None:
    model = paper_network(arch)
    content = paper_checkpoint(model)
    content["state_dict"] = OrderedDict(prefixed(content["state_dict"], prefix))
    imported = import_original(save(tmp_path / "1checkpoint.pth.tar", content), digits, arch=arch)
    checkpoint = imported.checkpoint
    assert same(weights_in(imported), dense_weights(model))
    assert same(dict(checkpoint.mask), masks_of(model))
    recipe = checkpoint.spec.recipe
    assert recipe.pruning["rate"] == 0.9
    assert (recipe.pruner, recipe.pruning["scope"], recipe.split.val_share) == ("omp", "body", 0.0)
    assert recipe.given_mask == checkpoint.mask.fingerprint
    assert checkpoint.spec.history == ("imported",)
    mean, std = (tuple(torch.tensor(one).tolist()) for one in (MEAN, STD))
    assert (checkpoint.spec.data.mean, checkpoint.spec.data.std) == (mean, std)


@pytest.mark.parametrize("arch", mostly_slow(["resnet18", "resnet20"], "resnet20"))
def test_outputs_are_those_of_the_network_with_its_own_normalisation(
    digits: ImageDataset, tmp_path: Path, arch: str
) -> None:
    model = paper_network(arch)
    path = save(tmp_path / "file.pth", paper_checkpoint(model))
    checkpoint = import_original(path, digits, arch=arch).checkpoint
    samples = np.arange(100)
    data = checkpoint.spec.data.bind(digits)
    found = predict(
        checkpoint.model, data.test_subset(samples), mu.Run(device="cpu", precision="fp32")
    ).logits
    with torch.no_grad():
        expected = model(digits.test.pixels[:100].float() / 255).double()
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    other = predict(
        checkpoint.model, digits.test_subset(samples), mu.Run(device="cpu", precision="fp32")
    ).logits
    assert not torch.allclose(other, expected, rtol=1e-2, atol=1e-2)


def as_safetensors(folder: Path, tensors: dict[str, Tensor]) -> Path:
    return save(folder / "weights.safetensors", tensors)


def as_plain(folder: Path, tensors: dict[str, Tensor]) -> Path:
    return save(folder / "weights.pt", tensors)


def as_nested(folder: Path, tensors: dict[str, Tensor]) -> Path:
    return save(folder / "weights.pth", {"epoch": 3, "model": {}, "model_state_dict": tensors})


def as_wrapped(folder: Path, tensors: dict[str, Tensor]) -> Path:
    wrapped = prefixed(prefixed(tensors, "_orig_mod."), "module.")
    return save(folder / "weights.pth", {"net": wrapped})


def as_parameters(folder: Path, tensors: dict[str, Tensor]) -> Path:
    return save(folder / "weights", {n: nn.Parameter(t, False) for n, t in tensors.items()})


def in_the_old_format(folder: Path, tensors: dict[str, Tensor]) -> Path:
    path = folder / "weights.pt"
    torch.save(tensors, path, _use_new_zipfile_serialization=False)
    return path


@pytest.mark.parametrize(
    "write",
    [as_safetensors, as_plain, as_nested, as_wrapped, as_parameters, in_the_old_format],
)
def test_a_state_dict_in_whatever_wrapping(
    digits: ImageDataset, tmp_path: Path, write: Callable[[Path, dict[str, Tensor]], Path]
) -> None:
    model = paper_network()
    imported = import_original(write(tmp_path, dense_weights(model)), digits)
    assert same(weights_in(imported), dense_weights(model))
    assert same(dict(imported.checkpoint.mask), masks_of(model))  # by its zeros
    assert imported.checkpoint.spec.data == DataSpec.of(digits)
    masked = import_original(write(tmp_path, dict(model.state_dict())), digits)
    assert same(weights_in(masked), dense_weights(model))
    assert masked.checkpoint.mask == imported.checkpoint.mask


def test_what_mu_wrote_itself(digits: ImageDataset, tmp_path: Path) -> None:
    first = import_original(as_plain(tmp_path, dense_weights(paper_network())), digits)
    first.checkpoint.save(tmp_path)
    again = import_original(tmp_path / "checkpoint" / "model.safetensors", digits)
    assert same(weights_in(again), weights_in(first))
    assert again.checkpoint.mask == first.checkpoint.mask


def test_files_from_before_batches_were_counted(digits: ImageDataset, tmp_path: Path) -> None:
    whole = dict(network().state_dict())
    old = {name: one for name, one in whole.items() if not name.endswith("num_batches_tracked")}
    assert old.keys() < whole.keys()
    found = weights_in(import_original(as_plain(tmp_path, old), digits))
    assert found.keys() == whole.keys()
    assert same({name: found[name] for name in old}, old)


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16, torch.float64])
def test_other_floats_are_converted(
    digits: ImageDataset, tmp_path: Path, kind: torch.dtype
) -> None:
    whole = dict(network().state_dict())
    given = {n: one.to(kind) if one.is_floating_point() else one for n, one in whole.items()}
    imported = import_original(as_safetensors(tmp_path, given), digits)
    name = str(kind).removeprefix("torch.")
    assert f"weights of {name} were converted to float32" in imported.notes
    expected = {n: one.to(whole[n].dtype) for n, one in given.items()}
    assert same(weights_in(imported), expected)


def test_names_of_the_networks_own_that_end_like_a_mask() -> None:
    tensors = {"attn_mask": torch.ones(2), "layer_orig": torch.ones(2)}
    entries = sort_out(tensors, tensors.keys())
    assert same(entries.weights, tensors)
    assert not entries.masks


# --- the mask -----------------------------------------------------------------------------


def with_zeros(model: nn.Module, count: int) -> dict[str, Tensor]:
    """Its weights, that many of the prunable ones exactly zero."""
    found = {name: one.clone() for name, one in model.state_dict().items()}
    for name in prunable(model):
        here = min(count, found[name].numel())
        found[name].view(-1)[:here] = 0
        count -= here
    assert count == 0
    return found


def test_zeros_are_a_mask_from_one_percent_on(digits: ImageDataset, tmp_path: Path) -> None:
    model = network()
    total = sum(model.get_parameter(name).numel() for name in prunable(model))
    enough = -(-total // 100)
    mask = import_original(as_plain(tmp_path, with_zeros(model, enough)), digits).checkpoint.mask
    assert mask.total - mask.kept == enough
    few = import_original(as_plain(tmp_path, with_zeros(model, enough - 1)), digits)
    recipe = few.checkpoint.spec.recipe
    assert few.checkpoint.mask.is_dense
    assert (recipe.pruning["rate"], recipe.given_mask) == (0.0, None)
    assert "too few" in few.taken["masks"]
    assert same(weights_in(few), with_zeros(model, enough - 1))


def test_the_rate_is_that_of_the_mask(digits: ImageDataset, tmp_path: Path) -> None:
    path = as_plain(tmp_path, dict(paper_network(share=1 - 0.8**3).state_dict()))
    rounds: dict[str, Any] = {"pruner": "imp", "rounds": 3}
    assert import_original(path, digits, **rounds).checkpoint.spec.recipe.pruning["rate"] == 0.2
    near = import_original(path, digits, rate=0.49).checkpoint.spec.recipe
    assert near.pruning["rate"] == 0.49
    with refused("rate=0.95 prunes 95.00 %", "48.80 %", "leave rate out, or name another file"):
        import_original(path, digits, rate=0.95)
    with refused("rate=0.5 in 3 rounds prunes 87.5", "48.80 %"):
        import_original(path, digits, **rounds, rate=0.5)
    with refused("rate=0 prunes 0.00 %"):
        import_original(path, digits, rate=0.0)


@pytest.mark.parametrize(
    ("module", "own", "scope"), [("fc", "weight", "head"), ("bn1", "bias", "all")]
)
def test_the_scope_is_the_smallest_that_covers_the_mask(
    digits: ImageDataset, tmp_path: Path, module: str, own: str, scope: str
) -> None:
    model = network()
    model.bn1.bias.data.fill_(0.5)  # type: ignore[union-attr, operator]
    prune.random_unstructured(  # type: ignore[no-untyped-call]
        model.get_submodule(module), own, amount=0.5
    )
    path = as_plain(tmp_path, dict(model.state_dict()))
    checkpoint = import_original(path, digits).checkpoint
    assert checkpoint.spec.recipe.pruning["scope"] == scope
    name = f"{module}.{own}"
    assert torch.equal(checkpoint.mask[name], masks_of(model)[name])
    assert all(checkpoint.mask[one].all() for one in checkpoint.mask if one != name)
    assert set(checkpoint.mask) == set(prunable(checkpoint.model, scope))
    with refused("scope=body", repr(name), "leave scope out"):
        import_original(path, digits, scope="body")


# --- normalisation ------------------------------------------------------------------------


def test_a_normalisation_that_is_given(digits: ImageDataset, tmp_path: Path) -> None:
    path = as_plain(tmp_path, dict(network().state_dict()))
    data = import_original(path, digits, mean=[0.25], std=[0.5]).checkpoint.spec.data
    assert (data.mean, data.std) == ((0.25,), (0.5,))
    with refused("mean and std together"):
        import_original(path, digits, mean=[0.25])
    with refused("mean is for 3 channels", "have 1"):
        import_original(path, digits, mean=[0.25] * 3, std=[0.5] * 3)
    with refused("std is 0;", "above 0"):
        import_original(path, digits, mean=[0.25], std=[0.0])
    with refused("mean is nan"):
        import_original(path, digits, mean=[float("nan")], std=[0.5])
    theirs = as_plain(tmp_path, dict(paper_network().state_dict()))
    with refused("its own normalisation", "leave mean and std out"):
        import_original(theirs, digits, mean=[0.25], std=[0.5])


def test_later_steps_normalise_as_the_file_does(digits: ImageDataset, tmp_path: Path) -> None:
    path = as_plain(tmp_path, dict(paper_network().state_dict()))
    settings: dict[str, Any] = {"epochs": 1, "augment": "none"}
    checkpoint = import_original(path, digits, **settings).checkpoint
    split = mu.forget_split(checkpoint, digits, "class:0")
    mean = checkpoint.spec.data.mean
    assert mean != digits.mean
    assert {one.mean for one in (split.retain_set, split.forget_set)} == {mean}
    mask = checkpoint.mask
    Retrain().unlearn(checkpoint, split, mu.Run(device="cpu"))
    assert checkpoint.mask == mask
    assert all(not bool(checkpoint.model.get_parameter(n)[~mask[n]].any()) for n in mask)


# --- what does not fit --------------------------------------------------------------------


def broken(change: Callable[[dict[str, Any]], object]) -> dict[str, Any]:
    """The state dict of the paper's network, changed."""
    found = {name: one.clone() for name, one in paper_network().state_dict().items()}
    change(found)
    return found


def without(*names: str) -> dict[str, Any]:
    return broken(lambda found: [found.pop(name) for name in names])


def having(**more: Any) -> dict[str, Any]:
    return broken(lambda found: found.update({n.replace("__", "."): v for n, v in more.items()}))


CONV = "layer1.0.conv1.weight"
MASK = torch.ones(16, 16, 3, 3)
FAULTS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "missing": (
        lambda: without("fc.weight", "fc.bias"),
        ("arch resnet_mini with stem cifar and num_classes 10", "2 entries missing", "fc.weight"),
    ),
    "unexpected": (
        lambda: having(one__weight=MASK, two__mask=MASK),
        ("2 entries unexpected (one.weight, two.mask)",),
    ),
    "no normalize.std": (
        lambda: without("normalize.std"),
        ("'normalize.mean'", "not both", "'normalize.std'"),
    ),
    "a normalisation of three channels": (
        lambda: having(normalize__mean=torch.zeros(3), normalize__std=torch.ones(3)),
        ("for 3 channels", "name the dataset"),
    ),
    "no weights": (
        lambda: without(f"{CONV}_orig"),
        (f"'{CONV}_mask'", "without weights", f"'{CONV}_orig'", f"'{CONV}'"),
    ),
    "no mask": (
        lambda: without(f"{CONV}_mask"),
        (f"'{CONV}_orig'", "without", f"'{CONV}_mask'"),
    ),
    "weights twice": (
        lambda: having(layer1__0__conv1__weight=MASK),
        (f"both '{CONV}' and '{CONV}_orig'",),
    ),
    "a half mask": (
        lambda: having(layer1__0__conv1__weight_mask=MASK / 2),
        (f"mask of '{CONV}' holds 0.5", "0 and 1 only"),
    ),
    "a mask that is not a number": (
        lambda: having(layer1__0__conv1__weight_mask=MASK * float("nan")),
        (f"mask of '{CONV}' holds nan",),
    ),
    "a smaller mask": (
        lambda: having(layer1__0__conv1__weight_mask=MASK[:4]),
        (f"mask of '{CONV}' is [4, 16, 3, 3]", "[16, 16, 3, 3]"),
    ),
    "a mask of a buffer": (
        lambda: having(bn1__running_mean_mask=torch.ones(16)),
        ("mask of 'bn1.running_mean'", "no parameter"),
    ),
    "all zero": (
        lambda: {n: one * 0 for n, one in network().state_dict().items()},
        ("every prunable weight", "is zero"),
    ),
    "not finite": (
        lambda: having(fc__bias=torch.tensor([0.0] * 7 + [float("nan"), float("inf"), 1.0])),
        ("'fc.bias' holds 2 numbers that are not finite",),
    ),
    "not finite as float32": (
        lambda: having(fc__bias=torch.full((10,), 1e300, dtype=torch.float64)),
        ("'fc.bias' holds 10 numbers that are not finite (as float32)",),
    ),
    "whole numbers": (
        lambda: having(fc__bias=torch.zeros(10, dtype=torch.int8)),
        ("'fc.bias' holds int8", "save the weights as float32"),
    ),
    "sparse tensors": (
        lambda: having(fc__bias=torch.zeros(10).to_sparse()),
        ("'fc.bias'", "no plain tensor", "float32"),
    ),
    "complex numbers": (
        lambda: having(fc__bias=torch.zeros(10, dtype=torch.complex64)),
        ("'fc.bias'", "no plain tensor"),
    ),
    "numpy arrays of whole numbers": (
        lambda: having(fc__bias=torch.zeros(10, dtype=torch.int8).numpy()),
        ("'fc.bias' holds int8", "save the weights as float32"),
    ),
    "a number": (lambda: 3, ("holds a int, not a state dict", "torch.save(")),
    "a tensor": (lambda: torch.ones(3), ("holds a Tensor, not a state dict",)),
    "no tensors": (
        lambda: {"epoch": 3, "state_dict": {}},
        ("no state dict (found 'epoch', 'state_dict')", "save its state_dict alone"),
    ),
    "nothing": (dict, ("no state dict (found nothing)",)),
    "the arch": (
        lambda: dict(network("resnet20").state_dict()),
        ("entries unexpected (layer1.1.conv1.weight, ", ", ...)", "fits arch=resnet20: give that"),
    ),
    "the channels": (
        lambda: dict(network(channels=3).state_dict()),
        (
            "'conv1.weight' is [16, 3, 3, 3] in the file and [16, 1, 3, 3] in arch resnet_mini",
            "images of 3 channels, digits has 1: name the dataset",
        ),
    ),
    "the classes": (
        lambda: dict(network(classes=100).state_dict()),
        (
            "'fc.weight' is [100, 64] in the file and [10, 64]",
            "(and 1 more differ)",
            "100 classes apart, digits has 10: name the dataset",
        ),
    ),
    "a network that mu does not name": (
        lambda: dict(nn.Linear(3, 2).state_dict()),
        ("missing", "2 entries unexpected (weight, bias)", "give the arch and stem of the file"),
    ),
}


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
@pytest.mark.parametrize("fault", FAULTS)
def test_what_does_not_fit_is_named(digits: ImageDataset, tmp_path: Path, fault: str) -> None:
    content, texts = FAULTS[fault]
    with refused(*texts):
        import_original(save(tmp_path / "file.pt", content()), digits)


def test_the_stem_of_the_file_is_named(digits: ImageDataset, tmp_path: Path) -> None:
    path = as_plain(tmp_path, dict(network("resnet18", stem="imagenet").state_dict()))
    with refused("[64, 1, 7, 7]", "[64, 1, 3, 3]", "it fits stem=imagenet: give that"):
        import_original(path, digits, arch="resnet18")
    assert import_original(path, digits, arch="resnet18", stem="imagenet").checkpoint.mask.is_dense


def test_settings_of_the_training_are_checked_too(digits: ImageDataset, tmp_path: Path) -> None:
    path = as_plain(tmp_path, dict(network().state_dict()))
    with refused("train_size=5000"):
        import_original(path, digits, train_size=5000)
    with refused("unknown setting of prune 'epoch'", "epochs"):
        import_original(path, digits, epoch=3)
    with refused("rounds=2", "pruner=imp"):
        import_original(path, digits, rounds=2)
    imported = import_original(path, digits, val_share=0.25, split_seed=3, train_size=400)
    split = imported.checkpoint.spec.split(digits)
    assert len(split.train) == 400
    assert not [note for note in imported.notes if "val_share" in note]


# --- nothing is executed ------------------------------------------------------------------


class Trap:
    """Unpickling it would create a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("old", [False, True])
def test_a_malicious_file_is_not_executed(
    digits: ImageDataset, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: bool
) -> None:
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    mark, path = tmp_path / "executed", tmp_path / "file.pth"
    content = {**network().state_dict(), "trap": Trap(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    with refused("pickled posix.mkdir", "not unpickled", "save its state_dict alone"):
        import_original(path, digits)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # so the trap works


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_torchscript_program_is_named(digits: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    traced = torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2))  # type: ignore[no-untyped-call]
    torch.jit.save(traced, path)
    with refused("TorchScript", "save its state_dict alone"):
        import_original(path, digits)


def test_files_that_are_no_checkpoints(digits: ImageDataset, tmp_path: Path) -> None:
    whole = as_plain(tmp_path, dict(network().state_dict())).read_bytes()
    other = as_safetensors(tmp_path, dict(network().state_dict())).read_bytes()
    path = tmp_path / "file.pt"
    for content in (b"", b"text", b"\x80\x02", b"\x00" * 999, whole[: len(whole) // 2],
                    other[: len(other) // 2], b"12345678{", PAGE.read_bytes()):  # fmt: skip
        path.write_bytes(content)
        with refused(repr(str(path)), "damaged or no checkpoint"):
            import_original(path, digits)
    with refused("there is no file '/no/such.pt'"):
        import_original("/no/such.pt", digits)
    with refused(repr(str(tmp_path)), "is a folder"):
        import_original(tmp_path, digits)


# --- the command --------------------------------------------------------------------------


def trained(digits: ImageDataset) -> nn.Module:
    """A network that knows the digits, in the layout of the paper's repository."""
    settings = {"epochs": 3, "rate": 0.9, "val_share": 0.0, "augment": "none", "lr": 0.05}
    run = mu.Run(device="cpu")
    checkpoint = mu.train_original(digits, mu.make_recipe(digits, **settings), run)
    model = paper_network()
    for name, mask in checkpoint.mask.items():
        model.get_buffer(f"{name}_mask").copy_(mask)
    weights = checkpoint.model.state_dict()
    target = model.state_dict()
    with torch.no_grad():
        for name, one in weights.items():
            target[f"{name}_orig" if f"{name}_orig" in target else name].copy_(one)
    model.normalize.mean.copy_(torch.tensor(digits.mean))  # type: ignore[union-attr, operator]
    model.normalize.std.copy_(torch.tensor(digits.std))  # type: ignore[union-attr, operator]
    return model


@pytest.mark.slow
def test_import_then_unlearn(
    digits: ImageDataset, store: Store, tmp_path: Path, program: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = trained(digits)
    path = save(tmp_path / "1model_SA_best.pth.tar", paper_checkpoint(model))
    settings = ("--epochs=3", "--lr", "0.05", "--augment", "none")
    status, out, errors = program(["mu", "import", str(path), *settings, "--device", "cpu"])
    assert (status, errors.startswith("prune run "), errors.count("\n")) == (0, True, 1)
    (run,) = store.search("")
    run_id, tags, metrics = run.info.run_id, run.data.tags, run.data.metrics
    assert run.info.status == "FINISHED"
    assert tags["mu.entry"] == "prune"
    assert re.fullmatch("[0-9a-f]{16}", tags["mu.imported"])
    assert {"mu.data", "mu.mask", "mu.weights", "mu.spec"} <= set(tags)
    for text in (run_id, str(path), "val_share=0", "1,437", "9 mask entries", "90.00 %"):
        assert text in out
    assert "split_seed" in out
    images = digits.train.pixels.float() / 255
    with torch.no_grad():
        right = model(images).argmax(1) == digits.train.labels
    assert metrics["train_acc"] == pytest.approx(100 * float(right.double().mean()), abs=0.1)
    assert metrics["train_acc"] > 80
    assert metrics["sparsity"] == pytest.approx(90, abs=0.01)
    assert "TA" in metrics
    assert "VA" not in metrics
    params = run.data.params
    assert (params["rate"], params["val_share"], params["epochs"]) == ("0.9", "0.0", "3")
    note = tags["mlflow.note.content"]
    assert "imported" in note
    assert str(path) in note
    for name, value, source in (
        ("epochs", "3", "given"),
        ("augment", "none", "given"),
        ("batch_size", "64", "assumed"),
        ("val_share", "0", "assumed"),
        ("mean, std", "0.3054, 0.3753", "of the file (normalize.mean, normalize.std)"),
    ):
        assert re.search(rf"^{name} +{value} +{re.escape(source)} *$", out, re.MULTILINE)
        assert f"| {name} | {value} | {source} |" in note
    assert "also in the file, and not read: optimizer (" in out
    assert "state_dict taken; init_weight is there too: key=init_weight" in out
    artifacts = Path(str(run.info.artifact_uri))
    config = json.loads((artifacts / "config.json").read_text())
    assert config["imported"]["file"] == str(path)
    assert config["imported"]["sha256"].startswith(tags["mu.imported"])
    assert config["imported"]["assumptions"]["lr"] == "given"
    assert config["imported"]["assumptions"]["momentum"] == "assumed, as in the file"
    assert (artifacts / "mask" / "layers.png").exists()
    assert (artifacts / "report" / "summary.md").read_text() == note
    assert mu.load_mask(run_id).sparsity == pytest.approx(90, abs=0.01)

    for chosen in (run_id, "auto"):
        line = ["--prune_run_id", chosen, "--prune_rate", "0.9", "--method", "ft", "--epochs", "1"]
        assert call("unlearn", *line, "--device", "cpu", "--forget", "class:3") == 0
        result = next(store.search(""))
        assert result.data.tags["mu.upstream"] == run_id
        kept = digits.train.labels != 3  # as the network with its own normalisation says
        expected = 100 * float(right[kept].double().mean())
        assert result.data.metrics["RA_before"] == pytest.approx(expected, abs=0.1)
    spec = mu.load_checkpoint(result.info.run_id).spec
    assert spec.history == ("imported", "ft")
    assert spec.data.mean == tuple(torch.tensor(digits.mean).tolist())


@pytest.mark.slow
def test_the_listed_samples_are_what_later_runs_partition(
    digits: ImageDataset, store: Store, tmp_path: Path, program: Program,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    numbers = np.sort(np.random.default_rng(5).permutation(len(digits.train))[:400])
    (tmp_path / "list.txt").write_text("\n".join(map(str, numbers)))
    content = {"state_dict": network().state_dict(), "state_dict_ema": with_zeros(network(), 5000)}
    path = save(tmp_path / "file.pt", content)
    line = ("--trained-on", str(tmp_path / "list.txt"), "--key=state_dict_ema", "--epochs=1")
    status, out, _ = program(["mu", "import", str(path), *line, "--device", "cpu"])
    assert status == 0
    assert "400 images trained on, 1,037 for validation, 0 unused" in out
    assert re.search("^trained_on +400 samples, sha256 [0-9a-f]{16} +given *$", out, re.MULTILINE)
    (run,) = store.search("")
    (tmp_path / "list.txt").unlink()  # the run knows it
    assert run.data.params["trained_on"].startswith("400 samples, sha256 ")
    assert run.data.metrics["sparsity"] > 1
    run_id = run.info.run_id
    labels = digits.train.labels.numpy()

    def made(*words: str) -> Any:
        assert call(*words, "--device", "cpu") == 0
        return next(store.search(""))

    chosen = ("--prune_run_id", run_id, "--forget", "class:3")
    keys = set()
    for method in (("retrain",), ("ft", "--epochs=1", "--oracle_run_id=find")):
        found = made("unlearn", *chosen, "--method", *method)
        forget = np.load(Path(str(found.info.artifact_uri)) / "forget" / "indices.npy")
        assert forget.tolist() == numbers[labels[numbers] == 3].tolist()
        keys.add(found.data.tags.get("mu.oracle") or found.info.run_id)
    assert len(keys) == 1  # the oracle is found by its key
    again = made("prune", "--mask_run_id", run_id, "--epochs=1", "--seed=1")
    spec = mu.load_checkpoint(again.info.run_id).spec
    assert spec.split(digits).train.tolist() == numbers.tolist()


def test_a_network_that_knows_nothing_is_warned_of(
    store: Store, tmp_path: Path, program: Program
) -> None:
    path = as_plain(tmp_path, dict(network().state_dict()))
    given = ("--mean", "0.25", "--std=0.5", "--val-share", "0.2", "--split_seed", "1")
    status, out, errors = program(["mu", "import", str(path), *given, "--device", "cpu"])
    assert status == 0
    assert errors.splitlines()[1].startswith("warning: train_acc ")
    assert errors.count("\n") == 2
    assert "is near chance (10." in errors
    assert "note:" not in out
    (run,) = store.search("")
    assert "near chance" in run.data.tags["mlflow.note.content"]
    assert {"VA", "TA", "train_acc"} <= set(run.data.metrics)
    data = mu.load_checkpoint(run.info.run_id).spec.data
    assert (data.mean, data.std) == ((0.25,), (0.5,))


@pytest.mark.parametrize(
    ("line", "texts"),
    [
        ("FILE --arch resnet20", ("error: the file does not fit arch resnet20",)),
        ("FILE --rate 0.5", ("rate=0.5 prunes 50.00 %",)),
        ("FILE --mean 0.5,half --std 1", ("mean='0.5,half'", "a number for each channel")),
        ("FILE --epochs 0", ("epochs=0", "at least 1")),
        ("FILE --epoch 3", ("unknown option of import 'epoch'", "epochs")),
        ("FILE --arch resnet19", ("arch 'resnet19'", "resnet18")),
        ("FILE --pruner ompp", ("pruner 'ompp'", "omp")),
        ("FILE --device gpu", ("device='gpu'",)),
        ("FILE FILE", ("unexpected extra argument",)),
        ("/no/such.pt", ("no file '/no/such.pt'",)),
        ("", ("Missing argument 'FILE'",)),
    ],
)
def test_a_mistake_is_one_line_and_leaves_no_run(
    store: Store, tmp_path: Path, program: Program, line: str, texts: tuple[str, ...]
) -> None:
    path = as_plain(tmp_path, dict(put_under_pruning(network()).state_dict()))
    status, out, errors = program(["mu", "import", *line.replace("FILE", str(path)).split()])
    assert (status, out) == (2, "")
    assert errors.startswith("error: ")
    assert errors.count("\n") == 1
    for text in texts:
        assert text in errors
    assert not list(store.search(""))


def test_help_says_what_is_different_here(program: Program) -> None:
    status, out, errors = program(["mu", "import", "--help", "--pruner", "synflow"])
    assert (status, errors) == (0, "")
    words = " ".join(out.split())
    for text in (
        "default 0, as nothing in the file says",
        "default the sparsity of the file's mask",
        "--iterations",
        "at least 1% of the prunable",
    ):
        assert text in words
    status, out, errors = program("mu --help")
    assert (status, errors) == (0, "")
    assert "import" in out


def test_every_option_is_on_the_page_of_names() -> None:
    names = set(re.findall(r"`([^`]+)`", PAGE.read_text()))
    assert {option.name for option in importing.build([]).params} - {"file"} <= names
    assert {"mu import", "mu.imported"} <= names


def test_settings_keep_their_defaults_elsewhere() -> None:
    (share,) = [one for one in prune_program.build([]).params if one.name == "val_share"]
    assert "default 0.1" in str(getattr(share, "help", ""))


def test_the_file_is_not_changed(digits: ImageDataset, tmp_path: Path) -> None:
    path = save(tmp_path / "file.pth", paper_checkpoint(paper_network()))
    before = deepcopy(path.read_bytes())
    import_original(path, digits)
    assert path.read_bytes() == before
