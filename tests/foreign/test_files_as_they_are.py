"""Files as training programs write them are read, and what else they hold is named."""

from __future__ import annotations

import argparse
import pickle
import subprocess
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import mu
from mu.data.images import ImageDataset
from mu.foreign.originals import Imported, import_original
from mu.foreign.unread import Array, Type
from tests.cli.foreign_files import network, paper_network, prefixed, save
from tests.helpers import refused


@pytest.fixture(scope="module")
def digits() -> ImageDataset:
    return mu.load_data("digits")


@cache
def trained() -> nn.Module:
    return network()


def weights() -> dict[str, Tensor]:
    return {name: one.clone() for name, one in trained().state_dict().items()}


def other_weights() -> dict[str, Tensor]:
    """Those of a moving average, say: the same names, other numbers."""
    return {n: one + 0.5 if one.is_floating_point() else one for n, one in weights().items()}


def averaged() -> dict[str, Tensor]:
    """What torch's AveragedModel keeps: ``n_averaged`` and names that begin with ``module.``."""
    found: dict[str, Tensor] = torch.optim.swa_utils.AveragedModel(trained()).state_dict()
    assert "n_averaged" in found
    return found


class AttributeDict(dict[str, Any]):
    """A dict of a kind of its own, as Lightning keeps hyperparameters in."""


class Trainer:
    """An object with a state."""

    def __init__(self) -> None:
        self.settings = {"lr": 0.3}


class Trap:
    """Unpickling it would start a program."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return subprocess.check_call, (["touch", str(self.mark)],)


def lightning() -> dict[str, Any]:
    return {
        "state_dict": {**prefixed(weights(), "model."), "criterion.weight": torch.ones(10)},
        "hyper_parameters": AttributeDict(lr=0.3),
        "callbacks": {"early": Trainer()},
        "optimizer_states": [{"state": {0: {"exp_avg": torch.ones(3)}}}],
    }


def timm() -> dict[str, Any]:
    arguments = argparse.Namespace(lr=0.25, epochs=7, opt="adamw", smoothing=0.0)
    return {
        "state_dict": weights(),
        "state_dict_ema": other_weights(),
        "args": arguments,
        "metric": np.float64(3),
    }


def arrays() -> dict[str, Any]:
    """The weights as another library keeps them, some in another order of bytes or of sizes."""
    found: dict[str, Any] = {name: one.numpy() for name, one in weights().items()}
    found["fc.bias"] = found["fc.bias"].astype(">f4")
    found["fc.weight"] = np.asfortranarray(found["fc.weight"])
    return found


def compiled_inside() -> dict[str, Tensor]:
    return {n.replace("layer1.", "layer1._orig_mod."): one for n, one in weights().items()}


# What is written; texts of the notes, or of what was taken.
KINDS: dict[str, tuple[Callable[[], Any], tuple[str, ...]]] = {
    "Lightning": (
        lightning,
        ("under 'state_dict.model'", "state_dict.criterion.weight", "hyper_parameters"),
    ),
    "timm": (
        timm,
        (
            "state_dict taken; state_dict_ema is there too: key=state_dict_ema",
            "args (argparse.Namespace)",
            "metric (numpy",
        ),
    ),
    "torchvision": (
        lambda: {"model": prefixed(weights()), "model_ema": averaged(), "epoch": 3},
        ("model taken; model_ema is there too: key=model_ema", "epoch"),
    ),
    "AveragedModel": (averaged, ("not read: n_averaged",)),
    "the average first": (
        lambda: {"ema_state_dict": other_weights(), "module": weights()},
        ("taken; ema_state_dict is there too: key=ema_state_dict",),
    ),
    "initial weights first": (
        lambda: {"init_weight": other_weights(), "state_dict": weights()},
        ("state_dict taken; init_weight is there too",),
    ),
    "SWA": (
        lambda: {"swa_state_dict": other_weights(), "net": weights()},
        ("net taken; swa_state_dict is there too",),
    ),
    "two networks in one mapping": (
        lambda: {**prefixed(other_weights(), "teacher."), **prefixed(weights(), "student.")},
        ("student taken; teacher is there too: key=teacher",),
    ),
    "torch.compile of a part": (compiled_inside, ()),
    "DDP of torch.compile": (lambda: prefixed(weights(), "module._orig_mod."), ()),
    "DataParallel of a part": (
        lambda: {n.replace("layer2.", "layer2.module."): one for n, one in weights().items()},
        (),
    ),
    "nested": (
        lambda: {"checkpoint": {"weights": {"net": weights()}}, "config": Trainer()},
        ("under 'checkpoint.weights.net'", "config (tests.foreign.test_files_as_they_are.Trainer)"),
    ),
    "a list of networks": (
        lambda: {"models": [weights(), other_weights()]},
        ("models.0 taken; models.1 is there too: key=models.1",),
    ),
    "numbers of a profiler": (
        lambda: {**weights(), "total_ops": torch.zeros(1), "layer1.total_params": torch.zeros(1)},
        ("not read: total_ops, layer1.total_params",),
    ),
    "numpy's numbers beside weights": (
        lambda: {**weights(), "best": np.float32(3), "epoch": 3},
        ("best (numpy", "epoch"),
    ),
    "a defaultdict": (
        lambda: {"state_dict": weights(), "log": defaultdict(list, loss=[0.5])},
        ("not read: log",),
    ),
    "another network in the file": (
        lambda: {"generator": nn.Linear(3, 2).state_dict(), "classifier": weights()},
        ("under 'classifier'", "generator (2 tensors)"),
    ),
    "an optimiser by names": (
        lambda: {"optimizer": {"exp_avg": other_weights()}, "model": weights()},
        ("under 'model'", "optimizer (56 tensors)"),
    ),
    "numpy's arrays": (
        lambda: {"net": arrays(), "names": np.array(["a"]), "log": np.array([{}], dtype=object)},
        ("under 'net'", "not read: names (", "log ("),
    ),
    "the whole network": (trained, ()),
    "the whole network in a mapping": (lambda: {"model": trained()}, ("under 'model'",)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_files_of_training_programs(digits: ImageDataset, tmp_path: Path, kind: str) -> None:
    content, texts = KINDS[kind]
    path = save(tmp_path / "file.pt", content())
    imported = import_original(path, digits)
    found = imported.checkpoint.model.state_dict()
    assert found.keys() == weights().keys()
    assert all(torch.equal(found[name], one) for name, one in weights().items())
    said = "\n".join([*imported.taken.values(), *imported.notes])
    for text in texts:
        assert text in said
    if "taken;" not in "".join(texts):
        assert "is there too" not in said


def test_a_network_under_pruning_that_was_saved_whole(digits: ImageDataset, tmp_path: Path) -> None:
    model = paper_network()
    model._forward_pre_hooks.clear()  # a function of the test, which torch.save cannot name
    imported = import_original(save(tmp_path / "file.pt", model), digits)
    alone = import_original(save(tmp_path / "alone.pt", dict(model.state_dict())), digits)
    assert imported.checkpoint.mask == alone.checkpoint.mask
    assert imported.checkpoint.fingerprint == alone.checkpoint.fingerprint


@pytest.mark.parametrize("write", [np.savez, np.savez_compressed])
def test_arrays_in_an_npz_file(
    digits: ImageDataset, tmp_path: Path, write: Callable[..., None]
) -> None:
    path = tmp_path / "file.npz"
    write(path, **arrays(), epoch=np.array(3), names=np.array(["a"]))
    imported = import_original(path, digits)
    assert taken(imported) == "first"
    assert "not read: epoch, names" in "\n".join(imported.notes)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with refused("file.npz", "damaged or no checkpoint"):
        import_original(path, digits)


@pytest.mark.parametrize(
    "said",
    [
        (1, (2, 3), "f4", False, bytes(20)),  # bytes that are too few
        (1, (-2, -3), "f4", False, bytes(24)),
        (1, (2**40, 2**40), "f4", False, bytes(24)),
        (1, (2.0, 3), "f4", False, bytes(24)),
        (1, (3,), "O8", False, bytes(24)),  # addresses of objects
        (1, (6,), "f4", False, [1.0] * 6),
        ("x",),
        {"shape": (6,)},
        None,
    ],
)
def test_an_array_is_made_of_what_fits_together_alone(said: Any) -> None:
    array = Array()
    if isinstance(said, tuple) and len(said) == 5:
        said = (*said[:2], Type(said[2]), *said[3:])
    array.__setstate__(said)
    assert array.tensor() is None
    array.__setstate__((1, (2, 3), Type("f4"), False, np.arange(6, dtype="=f4").tobytes()))
    found = array.tensor()
    assert found is not None
    assert found.tolist() == [[0, 1, 2], [3, 4, 5]]


def test_objects_in_arrays_are_refused(digits: ImageDataset, tmp_path: Path) -> None:
    mark, path = tmp_path / "executed", tmp_path / "file.npy"
    np.save(path, np.array([Trap(mark)], dtype=object))
    with refused("single array, or pickled objects", "np.savez('weights.npz', **arrays)"):
        import_original(path, digits)
    np.savez(tmp_path / "file.npz", w=np.array([Trap(mark)], dtype=object))
    with refused("file.npz", "damaged or no checkpoint"):
        import_original(tmp_path / "file.npz", digits)
    torch.save({"w": np.array([Trap(mark)], dtype=object)}, path)
    with refused("holds no state dict"):
        import_original(path, digits)
    assert not mark.exists()


def taken(imported: Imported) -> str:
    """Which of the two sets of weights it is."""
    bias = imported.checkpoint.model.get_parameter("fc.bias")
    which = {
        name: torch.equal(bias, one["fc.bias"])
        for name, one in {"first": weights(), "other": other_weights()}.items()
    }
    (name,) = [name for name, same in which.items() if same]
    return name


def test_key_chooses_the_weights(digits: ImageDataset, tmp_path: Path) -> None:
    path = save(tmp_path / "file.pt", timm())
    assert taken(import_original(path, digits)) == "first"
    imported = import_original(path, digits, key="state_dict_ema")
    assert taken(imported) == "other"
    assert "state_dict_ema taken; state_dict is there too: key=state_dict" in imported.notes
    assert imported.taken["weights"].endswith("under 'state_dict_ema'")
    with refused("unknown key 'state_dict_em'", "state_dict_ema"):
        import_original(path, digits, key="state_dict_em")
    with refused("unknown key 'optimizer'", "known: state_dict, state_dict_ema"):
        import_original(path, digits, key="optimizer")
    nested = save(tmp_path / "nested.pt", {"model": averaged(), "model_ema": other_weights()})
    for key in ("model", "model.module", "model."):
        assert taken(import_original(nested, digits, key=key)) == "first"


def test_of_two_networks_the_one_that_fits_is_taken(digits: ImageDataset, tmp_path: Path) -> None:
    large = dict(network(classes=100).state_dict())
    path = save(tmp_path / "file.pt", {"teacher": weights(), "student": large})
    imported = import_original(path, digits)
    assert taken(imported) == "first"
    assert "student (56 tensors)" in "".join(imported.notes)
    with refused("'fc.weight' is [100, 64] in the file", "100 classes apart"):
        import_original(path, digits, key="student")


def test_a_network_that_fits_behind_a_prefix_is_named(digits: ImageDataset, tmp_path: Path) -> None:
    behind = prefixed(dict(network("resnet20").state_dict()), "model.")
    path = save(tmp_path / "file.ckpt", {"state_dict": behind, "epoch": 3})
    with refused("does not fit arch resnet_mini", "it fits arch=resnet20: give that"):
        import_original(path, digits)


@pytest.mark.parametrize("scale", [1.0, 255.0])
def test_a_normalisation_in_front_of_the_network(
    digits: ImageDataset, tmp_path: Path, scale: float
) -> None:
    layer = {"0.mu": torch.tensor([[[[0.25 * scale]]]]), "0.sigma": torch.tensor([[0.5 * scale]])}
    path = save(tmp_path / "file.pt", {**layer, **prefixed(weights(), "1.")})
    imported = import_original(path, digits)
    data = imported.checkpoint.spec.data
    assert (data.mean, data.std) == ((0.25,), (0.5,))
    source = imported.assumptions[0].source
    assert source.startswith("of the file (0.mu, 0.sigma)")
    assert ("of pixels from 0 to 255" in source) == (scale > 1)
    assert not [note for note in imported.notes if "not read" in note]


def test_what_a_file_says_of_the_training_is_shown(digits: ImageDataset, tmp_path: Path) -> None:
    imported = import_original(save(tmp_path / "file.pt", timm()), digits, batch_size=32, lr=0.25)
    found = {one.name: (one.value, one.source) for one in imported.assumptions}
    assert found["epochs"] == ("20", "assumed; the file has args.epochs=7")
    assert found["optimizer"] == ("sgd", "assumed; the file has args.opt=adamw")
    assert found["label_smoothing"] == ("0", "assumed, as in the file")
    assert found["batch_size"] == ("32", "given")
    assert found["lr"] == ("0.25", "given")
    assert found["augment"] == ("none", "assumed")
    assert found["val_share"] == ("0", "assumed")
    assert found["mean, std"] == ("0.3054, 0.3753", "assumed: the data set's")


# --- nothing is executed ------------------------------------------------------------------


@pytest.mark.parametrize("old", [False, True])
def test_an_object_that_would_start_a_program_starts_none(
    digits: ImageDataset, tmp_path: Path, old: bool
) -> None:
    mark, path = tmp_path / "executed", tmp_path / "file.pt"
    content = {"state_dict": weights(), "hook": Trap(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=not old)
    imported = import_original(path, digits)
    assert taken(imported) == "first"
    assert "not read: hook (" in "".join(imported.notes)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # so the trap works


def test_weights_that_an_object_would_make_are_refused(
    digits: ImageDataset, tmp_path: Path
) -> None:
    mark = tmp_path / "executed"
    path = save(tmp_path / "file.pt", {"state_dict": Trap(mark)})
    with refused("holds no state dict", "a pickled ", "check_call", "save its state_dict alone"):
        import_original(path, digits)
    assert not mark.exists()


def test_files_that_are_pickled_otherwise(digits: ImageDataset, tmp_path: Path) -> None:
    path = tmp_path / "file.pt"
    ways: list[Callable[[], Any]] = [
        lambda: path.write_bytes(pickle.dumps(weights())),
        lambda: path.write_bytes(pickle.dumps(weights(), protocol=2)),
        lambda: torch.save(weights(), path, pickle_protocol=4),
        lambda: torch.save(trained(), path, _use_new_zipfile_serialization=False),
    ]
    for write in ways:
        write()
        with refused("pickled otherwise than torch.save does", "save it anew: torch.save("):
            import_original(path, digits)


def test_containers_in_themselves_end(digits: ImageDataset, tmp_path: Path) -> None:
    content: dict[str, Any] = {"state_dict": weights()}
    content["itself"] = content
    content["again"] = content["state_dict"]
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"x": deep, "y": deep}
    content["deep"] = deep
    imported = import_original(save(tmp_path / "file.pt", content), digits)
    assert taken(imported) == "first"
    assert not [note for note in imported.notes if "too" in note]


def test_names_that_would_control_a_terminal(digits: ImageDataset, tmp_path: Path) -> None:
    content = {"state_dict": weights(), "\x1b[31mred\n": 3, "x" * 9999: torch.ones(2)}
    (note,) = import_original(save(tmp_path / "file.pt", content), digits).notes[:-1]
    assert note.isprintable()
    assert "\\x1b[31mred\\n" in note
    assert len(note) < 300


def test_a_long_log_is_no_burden(digits: ImageDataset, tmp_path: Path) -> None:
    log = {"loss": [0.5] * 100_000, "lr": [0.1] * 10, "epochs": 9}
    content = {"state_dict": weights(), "log": log}
    imported = import_original(save(tmp_path / "file.pt", content), digits)
    found = {one.name: one.source for one in imported.assumptions}
    assert found["epochs"] == "assumed; the file has log.epochs=9"
    assert found["lr"] == "assumed"
