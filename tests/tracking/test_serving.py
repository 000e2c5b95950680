"""What a run hands on is a model of MLflow: loaded, registered and served without a pickle."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow.exceptions import MlflowException

import mu
from mu.tracking.serving import metadata_of, save_checkpoint
from tests.conftest import PrunedStore
from tests.helpers import make_checkpoint, make_dataset, refused
from tests.processes import PATIENCE, free_port, python

with warnings.catch_warnings():  # of MLflow's own type hints, as it loads
    warnings.simplefilter("ignore")
    import mlflow.pyfunc


@pytest.fixture
def served(pruned: PrunedStore) -> mlflow.pyfunc.PyFuncModel:
    return mlflow.pyfunc.load_model(f"runs:/{pruned.run_id}/checkpoint")


def images() -> np.ndarray:
    return mu.load_data("digits").test.pixels[:9].permute(0, 2, 3, 1).numpy()


def test_it_answers_as_the_network_does(pruned, served):
    data, model = mu.load_data("digits"), mu.load_model(pruned.run_id)
    found = served.predict(images())
    pixels = data.test.pixels[:9].float() / 255
    with torch.no_grad():
        right = model((pixels - data.mean[0]) / data.std[0]).softmax(1)
    torch.testing.assert_close(torch.from_numpy(found), right, rtol=1e-4, atol=1e-5)
    assert found.dtype == np.float32
    assert found.sum(1) == pytest.approx(1)


def test_many_images_are_looked_at_in_parts(pruned, served, monkeypatch):
    whole = served.predict(images())
    monkeypatch.setattr("mu.tracking.serving.BATCH_SIZE", 2)
    np.testing.assert_allclose(served.predict(images()), whole, rtol=1e-5)


def test_it_says_what_it_takes_and_what_it_is(served):
    meta = served.metadata
    assert meta.signature.inputs.inputs[0].shape == (-1, 8, 8, 1)
    assert meta.signature.outputs.inputs[0].shape == (-1, 10)
    assert meta.metadata["classes"] == [str(digit) for digit in range(10)]
    assert meta.metadata["runs_code_of"] == "mu alone"
    assert meta.metadata["history"] == ["pruned"]


def test_it_says_whose_code_it_runs():
    spec = make_checkpoint(make_dataset()).spec

    def of(arch: str) -> str:
        recipe = replace(spec.recipe, model=replace(spec.recipe.model, arch=arch))
        return metadata_of(replace(spec, recipe=recipe))["runs_code_of"]

    assert of("tests.methods.networks:linear") == "tests.methods.networks:linear"
    assert of("torchvision:resnet18") == of("resnet18") == "mu alone"


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 1, 8, 8), (8, 8, 1), (2, 9, 8, 1)])
def test_images_of_another_shape_are_refused(served, shape):
    with pytest.raises(MlflowException, match="shape"):
        served.predict(np.zeros(shape, np.uint8))
    with refused("give (n, height, width, channels) with 8 x 8 x 1"):
        served._model_impl.predict(np.zeros(shape, np.uint8))


def test_nothing_in_it_is_pickled(pruned, tmp_path):
    folder = Path(
        mlflow.artifacts.download_artifacts(
            run_id=pruned.run_id, artifact_path="checkpoint", dst_path=str(tmp_path),
            tracking_uri=pruned.store.uri,
        )
    )  # fmt: skip
    # MLflow puts the last into the folder of whichever version it loads from a local store.
    names = {path.name for path in folder.iterdir()} - {"registered_model_meta"}
    assert names == {"MLmodel", "model.safetensors", "spec.json", "requirements.txt"}
    assert "python_function" in (folder / "MLmodel").read_text()
    assert "torch==" in (folder / "requirements.txt").read_text()


def test_damaged_weights_are_not_served(tmp_path):
    class Keeping:
        folder = tmp_path

    save_checkpoint(Keeping(), make_checkpoint(make_dataset()))
    place = tmp_path / "checkpoint"
    assert mlflow.pyfunc.load_model(str(place)).metadata.metadata["classes"]
    weights = place / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with refused("checkpoint/model.safetensors is damaged"):
        mlflow.pyfunc.load_model(str(place))


def test_it_can_be_registered_with_an_alias(pruned):
    uri = f"runs:/{pruned.run_id}/checkpoint"
    version = mlflow.register_model(uri, "digits").version
    pruned.store.client.set_registered_model_alias("digits", "unlearned", version)
    found = mlflow.pyfunc.load_model("models:/digits@unlearned")
    assert found.predict(images()).shape == (9, 10)


@pytest.mark.slow
def test_a_real_server_answers(pruned):
    port = free_port()
    uri = f"runs:/{pruned.run_id}/checkpoint"
    line = ["-m", uri, "--env-manager", "local", "-p", str(port), "--workers", "1"]
    with python("-m", "mlflow", "models", "serve", *line):
        answer = _asked(f"http://127.0.0.1:{port}/invocations", {"inputs": images().tolist()})
    assert np.array(answer["predictions"]).shape == (9, 10)


def _asked(url: str, question: dict) -> dict:
    request = urllib.request.Request(
        url, json.dumps(question).encode(), {"Content-Type": "application/json"}
    )
    end = time.monotonic() + PATIENCE
    while True:
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return dict(json.load(answer))
        except urllib.error.URLError:
            if time.monotonic() > end:
                raise
            time.sleep(0.5)
