"""Outputs without logits: the same numbers of every sample, in memory for these alone."""

import numpy as np
import psutil
import pytest
import torch

from mu.evaluation.membership import SCORES
from mu.evaluation.outputs import MOST_LOGITS, Outputs, joined, predict
from mu.evaluation.reductions import REDUCTIONS
from mu.runs import Run
from tests.evaluation.distance.looks import outputs
from tests.helpers import make_checkpoint, make_dataset

CLASSES = 3
DATA = make_dataset(train=120, test=40, classes=CLASSES)


@pytest.mark.parametrize("batch_size", [7, 512])
def test_the_limit_is_samples_times_classes(batch_size):
    model, subset = make_checkpoint(DATA).model, DATA.test_subset()
    sizes = {"batch_size": batch_size}
    kept = predict(model, subset, Run(), most_logits=40 * CLASSES, **sizes)
    reduced = predict(model, subset, Run(), most_logits=40 * CLASSES - 1, **sizes)
    assert kept.has_logits
    assert not reduced.has_logits
    assert len(reduced) == len(kept) == 40
    assert reduced.classes == kept.classes == CLASSES
    assert torch.equal(reduced.labels, subset.labels)
    for name in REDUCTIONS:
        assert torch.equal(reduced.score(name), kept.score(name)), name


@pytest.mark.parametrize("name", ["predictions", "right", "finite"])
def test_what_is_read_is_the_same_reduced(name):
    one = outputs(30)
    assert np.array_equal(getattr(one.reduced(), name), getattr(one, name))


def test_accuracy_and_scores_are_the_same_reduced():
    one = outputs(30)
    assert one.reduced().accuracy() == one.accuracy()
    assert equal(one.reduced().reduced(), one.reduced())
    assert all(torch.equal(one.reduced().score(n), one.score(n)) for n in REDUCTIONS)


def equal(one, other):
    assert one.has_logits == other.has_logits
    assert torch.equal(one.labels, other.labels)
    assert one.classes == other.classes
    return all(torch.equal(one.score(name), other.score(name)) for name in REDUCTIONS)


def test_rows_of_reduced_outputs():
    one, rows = outputs(30), torch.tensor([4, 2, 2, 29])
    assert equal(one.reduced().select(rows), one.select(rows).reduced())
    assert equal(one.reduced().reduced(), one.reduced())
    nothing = one.reduced().select(rows[:0])
    assert len(nothing) == 0
    with pytest.raises(ValueError, match="no samples"):
        nothing.accuracy()


@pytest.mark.parametrize("reduce", [(), (0,), (1,), (0, 1)])
def test_joined_outputs_have_logits_where_all_have(reduce):
    whole = [outputs(5, seed=1), outputs(8, seed=2)]
    parts = [one.reduced() if place in reduce else one for place, one in enumerate(whole)]
    together = Outputs(
        torch.cat([one.logits for one in whole]), torch.cat([one.labels for one in whole])
    )
    assert equal(joined(parts), together.reduced() if reduce else together)
    assert equal(joined(parts[:1]), parts[0])


def test_who_asks_for_whole_vectors_is_told_why_there_are_none():
    one = outputs(2000).reduced()
    for asked in (SCORES["prob"], lambda o: o.logits):
        with pytest.raises(ValueError, match=r"too large .* logits \(2,000 samples x 4 classes\)"):
            asked(one)


class Watched(torch.nn.Module):
    """Gives many classes, and watches the memory of the process."""

    def __init__(self, classes):
        super().__init__()
        self.classes, self.process = classes, psutil.Process()
        self.first = self.most = 0

    def forward(self, images):
        now = self.process.memory_info().rss
        self.first, self.most = self.first or now, max(self.most, now)
        return torch.arange(self.classes) * images.mean((1, 2, 3))[:, None]


def test_the_memory_of_the_process_does_not_grow_with_the_classes():
    """Small tensors kept between large ones that are freed would break the heap into pieces."""
    classes, samples = 1000, 20_000
    model, subset = Watched(classes), DATA.training_subset(np.arange(samples) % 120)
    predict(model, subset, Run(device="cpu"), batch_size=64, most_logits=0)
    assert model.most - model.first < 4 * samples * classes / 2


def test_the_limit_is_what_fits():
    assert MOST_LOGITS * 8 <= 1e9
    assert 1_281_167 * 1000 > MOST_LOGITS > 50_000 * 1000  # of ImageNet, the test set's are kept
