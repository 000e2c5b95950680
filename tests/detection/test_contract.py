"""One contract suite over every detector: ranked samples of the training part, and refusals."""

import numpy as np
import pytest
from torch import nn

from mu.data.splits import SplitSpec
from mu.detection import DETECTORS, make_detector
from mu.runs import Run
from tests.data.poisoned import make_poison
from tests.detection.networks import checkpoint_of
from tests.helpers import make_dataset, refused

CLEAN = make_dataset(train=240, classes=3, channels=3)
PLANTED = make_poison(range(0, 240, 40), target=1, size=4).apply(CLEAN)
# Noise in ten directions, all as wide as that of the poison, hides so small a cluster.
SETTINGS = {"clustering": {"dimensions": 2}}
AMONG = ("auto", "all", "1", "class_1")


@pytest.fixture(params=sorted(DETECTORS))
def name(request):
    return request.param


def suspect(name, dataset, run=None, checkpoint=None, **settings):
    made = make_detector(name, {**SETTINGS.get(name, {}), **settings})
    return made.suspect(checkpoint or checkpoint_of(dataset), dataset, run or Run())


@pytest.mark.parametrize("among", AMONG)
def test_suspects_are_ranked_and_each_is_named_once(name, among):
    found = suspect(name, PLANTED, among=among)

    assert found.numbers.dtype == np.int64
    assert found.scores.dtype == np.float64
    assert len(found.numbers) == len(found.scores) == len(set(found.numbers.tolist())) > 0
    assert np.all(np.diff(found.scores) <= 0)
    assert np.isfinite(found.scores).all()
    if among != "all":
        assert set(PLANTED.train.labels.numpy()[found.numbers]) == {1}


def test_a_small_planted_cluster_leads_the_ranking(name):
    run = Run()
    found = suspect(name, PLANTED, run)

    # Four of the six poisoned images are of another class, and got the false label.
    assert found.stand_out
    first = found.numbers[: len(PLANTED.poisoned)].tolist()
    assert sorted(first) == PLANTED.poisoned.tolist()
    assert "'class_1'" in run.notes[0]


def test_the_same_network_gives_the_same_suspects(name):
    one, other = suspect(name, PLANTED), suspect(name, PLANTED)

    assert one.numbers.tolist() == other.numbers.tolist()
    assert one.scores.tolist() == other.scores.tolist()


def test_only_samples_that_were_trained_on_and_are_left_are_suspected(name):
    split = SplitSpec(split_seed=2, val_share=0.3, train_size=150)
    removed = PLANTED.poisoned[::3].tolist()
    checkpoint = checkpoint_of(PLANTED, removed=removed, split=split)
    left = set(checkpoint.spec.split(PLANTED).train.tolist())

    found = set(suspect(name, PLANTED, checkpoint=checkpoint, among="1").numbers.tolist())

    assert found
    assert found <= left
    assert not found & set(removed)


def test_where_nothing_stands_out_it_is_said(name):
    run = Run()

    found = suspect(name, CLEAN, run)

    assert not found.stand_out
    assert any("stands out" in note for note in run.notes[1:])


@pytest.mark.parametrize("among", AMONG[:3])
def test_equal_images_crash_nothing_and_do_not_stand_out(name, among):
    dataset = make_dataset([0, 1, 0, 1, 0] * 4, classes=2)
    dataset.train.pixels[:] = dataset.train.pixels[:1].clone()

    assert not suspect(name, dataset, among=among).stand_out


def test_three_samples_are_enough_and_fewer_are_too_few(name):
    assert len(suspect(name, make_dataset([0, 0, 0, 1, 1]), among="0").numbers) < 3
    with refused(f"suspects={name}", "enough training samples"):
        suspect(name, make_dataset([0, 0, 0, 1, 1]), among="1")


def test_classes_that_do_not_exist_and_networks_without_features_are_refused(name):
    for among in ("3", "cat", "-1", ""):
        with refused(f"no suspects_among {among!r}", "class_0, class_1, class_2"):
            suspect(name, CLEAN, among=among)
    checkpoint = checkpoint_of(CLEAN)
    checkpoint.model = nn.Sequential(nn.Conv2d(3, 3, 8), nn.Flatten(), nn.Tanh())
    with refused(f"suspects={name}", "the network has no head", "'2' (Tanh)"):
        suspect(name, CLEAN, checkpoint=checkpoint)


def test_misspelt_settings_are_refused(name):
    with refused(f"setting of detector {name}", "'nonesuch'"):
        make_detector(name, {"nonesuch": 1})
