"""One forward pass: against one image at a time, whatever the batches."""

import numpy as np
import pytest
import torch
from torch import nn

from mu.data import load_data
from mu.evaluation.outputs import Outputs, predict
from mu.originals.train import make_recipe
from mu.runs import Run

DATA = load_data("digits")


@pytest.fixture(scope="module")
def model():
    network = make_recipe(DATA).model.build(seed=3)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.normal_(generator=torch.Generator().manual_seed(1))
    return network


def test_predict_equals_one_image_at_a_time(model):
    subset = DATA.training_subset(np.array([5, 3, 99, 3]))
    outputs = predict(model, subset, Run(device="cpu"))
    model.eval()
    for row, index in enumerate(subset.indices):
        image = (DATA.train.pixels[index].float() / 255 - DATA.mean[0]) / DATA.std[0]
        with torch.no_grad():
            logits = model(image[None])[0].double()
        assert torch.allclose(outputs.logits[row], logits, atol=1e-5)
        assert outputs.labels[row] == DATA.train.labels[index]


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
def test_batching_does_not_matter(model, batch_size):
    subset = DATA.training_subset(np.arange(50))
    whole = predict(model, subset, Run(device="cpu")).logits
    parts = predict(model, subset, Run(device="cpu"), batch_size=batch_size).logits
    assert torch.allclose(whole, parts, atol=1e-5)


@pytest.mark.parametrize("training", [True, False])
def test_the_mode_is_left_as_it_was_and_nothing_is_changed(model, training):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.train(training)
    predict(model, DATA.test_subset(), Run(device="cpu"))
    assert model.training is training
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_accuracy_and_confidence_against_rows():
    draws = torch.Generator().manual_seed(0)
    logits = torch.randn(200, 5, generator=draws).double() * 3
    labels = torch.randint(0, 5, (200,), generator=draws)
    outputs = Outputs(logits, labels)
    right = sum(int(max(range(5), key=row.__getitem__) == label) for row, label in zip(
        logits.tolist(), labels.tolist(), strict=True))  # fmt: skip
    assert outputs.accuracy() == pytest.approx(100 * right / 200)
    for row, label, confidence in zip(logits, labels, outputs.confidence(), strict=True):
        exponentials = row.exp()
        assert float(confidence) == pytest.approx(float(exponentials[label] / exponentials.sum()))


def test_no_samples_have_no_accuracy():
    with pytest.raises(ValueError, match="no samples"):
        Outputs(torch.zeros(0, 3), torch.zeros(0).long()).accuracy()


def test_extreme_logits_have_confidences_of_exactly_0_and_1():
    outputs = Outputs(torch.tensor([[0.0, 5000.0], [0.0, 5000.0]]).double(), torch.tensor([0, 1]))
    assert outputs.confidence().tolist() == [0.0, 1.0]
