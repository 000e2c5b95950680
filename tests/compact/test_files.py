"""The document of a network: whole for every architecture, and no way to call anything else."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mu.compact.files import save
from mu.compact.network import compact
from mu.compact.portable import described
from mu.compact.standalone import build
from mu.compact.trace import traced
from mu.models import ARCHITECTURES
from tests.compact.networks import Conditional, everything, images
from tests.compact.networks import built as network
from tests.compact.test_exact import SIDES, assert_same
from tests.helpers import mostly_slow, refused


@pytest.mark.parametrize("arch", mostly_slow(ARCHITECTURES, "fastnet", "mobilenet_v3_small"))
def test_the_document_builds_the_same_network(arch: str, tmp_path: Path) -> None:
    model, side = network(arch, SIDES[arch]), SIDES[arch]
    graph = traced(model, images(2, side=side), arch)
    _, answers = save(graph, images(2, side=side), tmp_path, "safetensors")
    assert_same(model, answers, images(3, side=side))


def document():
    model = everything(0, 0.3)
    parts = torch.nn.Sequential(model.padded, model.norm, torch.nn.Flatten())
    return described(compact(parts, images(2)).network)


@pytest.mark.parametrize(
    ("node", "text"),
    [
        (["x", "call_function", "os.system", ["true"], {}], "'os.system'"),
        (["x", "call_function", "torch.load", ["file"], {}], "'torch.load'"),
        (["x", "call_function", "getattr", ["text", "__class__"], {}], "__class__"),
        (["x", "call_method", "__reduce__", ["text"], {}], "'__reduce__'"),
        (["x", "exec", "anything", [], {}], "'exec'"),
    ],
)
def test_a_document_calls_nothing_that_is_not_listed(node: list[object], text: str) -> None:
    good, tensors = document()
    build(good, tensors)
    with pytest.raises(ValueError, match=text):
        build({**good, "nodes": [node, *good["nodes"]]}, tensors)


def test_a_layer_is_one_of_torch() -> None:
    good, tensors = document()
    with pytest.raises(ValueError, match=r"'init' is no layer"):
        build({**good, "layers": {"padded": ["init", {}]}}, tensors)


def test_what_no_reader_knows_is_refused(tmp_path: Path) -> None:
    class Odd(torch.nn.Module):
        def forward(self, signal):
            return torch.fft.fft(signal).real.sum((1, 2))

    graph = traced(Odd(), images(2), "odd")
    with refused("format=safetensors cannot describe", "format=torch"):
        save(graph, images(2), tmp_path, "safetensors")


def test_a_program_that_depends_on_the_images_is_refused(tmp_path: Path) -> None:
    with refused("cannot be traced by torch.export"):
        save(Conditional().eval(), images(2), tmp_path, "torch")
