"""Open names: torchvision's classifiers and functions of the user's own, and every refusal."""

import importlib
import subprocess
import sys
from textwrap import dedent

import pytest
import torch
import torchvision
from torch import nn
from torchvision.models import get_model, get_model_builder, list_models

from mu.models import ModelSpec, check_arch
from mu.models.fit import check_fit
from tests.helpers import mostly_slow, refused, write_tree

# One of each of torchvision's families, with the size of its images here.
FAMILIES = {
    "alexnet": 64,
    "convnext_tiny": 32,
    "densenet121": 32,
    "efficientnet_b0": 8,
    "googlenet": 32,
    "inception_v3": 96,
    "maxvit_t": 224,
    "mnasnet0_5": 8,
    "mobilenet_v2": 8,
    "mobilenet_v3_large": 8,
    "regnet_x_400mf": 8,
    "resnet34": 8,
    "shufflenet_v2_x0_5": 8,
    "squeezenet1_1": 32,
    "swin_v2_t": 32,
    "vgg11": 32,
    "vit_b_16": 32,
}


def family(name):
    return get_model_builder(name).__module__


def test_every_family_of_torchvision_is_tried_here():
    every = {family(name) for name in list_models(module=torchvision.models)}

    assert {family(name) for name in FAMILIES} == every


# --- the form of a name -------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["torchvision:alexnet", "torchvision:nonesuch", "mymodels:net", "a.b.c:net_2", "_a:_b"]
)
def test_of_an_open_name_only_the_form_is_checked(name):
    assert check_arch(name) == name
    assert ModelSpec.for_images(name, "auto", 2, (3, 32, 32)).arch == name


@pytest.mark.parametrize(
    "name",
    ["torchvision:", ":net", ":", "a:b:c", "a..b:c", ".a:b", "a.:b", "a b:c", "../a:b", "a:b.c"]
    + ["a:b()", "a-b:c", "a:1", " a:b", "a:b\n"],
)
def test_an_open_name_of_another_form_is_refused(name):
    for verb in (check_arch, lambda one: ModelSpec(one, 2, 3).build(0)):
        with refused("write torchvision:NAME or package.module:function"):
            verb(name)


@pytest.mark.parametrize("name", ["resnet81", "alexnet", "mymodels.net", "@@@"])
def test_an_unknown_plain_name_is_refused_with_the_open_forms(name):
    with refused(f"unknown arch {name!r}", "torchvision:NAME and package.module:function"):
        check_arch(name)


def test_an_open_name_is_checked_before_torch_is_loaded_and_nothing_is_imported():
    program = (
        "import sys\n"
        "from mu.models import ModelSpec, check_arch\n"
        "check_arch('torchvision:alexnet'), check_arch('antigravity:net')\n"
        "ModelSpec.for_images('torchvision:alexnet', 'auto', 2, (3, 32, 32))\n"
        "sys.exit(bool({'torch', 'torchvision', 'antigravity'} & set(sys.modules)))\n"
    )

    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


# --- torchvision:NAME ---------------------------------------------------------------------


SMALL = ("squeezenet1_1", "shufflenet_v2_x0_5", "googlenet", "vit_b_16")  # the others are slow


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, *SMALL))
@pytest.mark.parametrize("training", [True, False])
def test_a_classifier_of_torchvision_returns_plain_logits_for_any_channels(name, training):
    size = FAMILIES[name]
    device = "cpu" if name.startswith("regnet") else "meta"
    with torch.device(device), torch.no_grad():
        model = ModelSpec(f"torchvision:{name}", 7, 1, "cifar", size).build(0).train(training)
        logits = model(torch.zeros(2, 1, size, size))

    assert isinstance(logits, torch.Tensor)
    assert logits.shape == (2, 7)


@pytest.mark.parametrize("name", mostly_slow(FAMILIES, *SMALL))
@pytest.mark.parametrize("channels", [1, 3])
def test_the_check_takes_what_fits(name, channels):
    check_fit(ModelSpec(f"torchvision:{name}", 7, channels, "imagenet", FAMILIES[name]))


@pytest.mark.parametrize("name", ["squeezenet1_1", "shufflenet_v2_x0_5"])
def test_weights_are_torchvisions_own_for_the_seed(name):
    model = ModelSpec(f"torchvision:{name}", 7, 3).build(5)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        theirs = get_model(name, weights=None, num_classes=7)

    for (name, ours), expected in zip(
        model.state_dict().items(), theirs.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, expected), name


def test_only_the_first_convolution_differs_with_the_channels():
    models = {
        channels: ModelSpec("torchvision:squeezenet1_1", 7, channels).build(5)
        for channels in (1, 3)
    }
    one, three = (models[channels].state_dict() for channels in (1, 3))

    assert one["features.0.weight"].shape == (64, 1, 3, 3)
    assert models[1].features[0].stride == models[3].features[0].stride == (2, 2)
    others = [name for name in three if not name.startswith("features.0.")]
    assert len(others) == len(three) - 2
    assert all(torch.equal(one[name], three[name]) for name in others)


def test_the_seed_alone_decides_the_weights_of_a_network_with_dropout():
    spec = ModelSpec("torchvision:squeezenet1_1", 7, 1)
    state = torch.get_rng_state()

    first, second, other = (spec.build(seed).state_dict() for seed in (5, 5, 6))

    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["features.0.weight"], other["features.0.weight"])


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("resnet81", "resnet18"),
        ("ResNet50", "did you mean resnet50"),
        ("fasterrcnn_resnet50_fpn", "unknown"),
        ("deeplabv3_resnet50", "unknown"),
        ("get_model", "unknown"),
        ("zzz", "known: alexnet"),
    ],
)
def test_what_is_no_classifier_of_torchvision_is_refused(name, near):
    for verb in (check_fit, lambda spec: spec.build(0)):
        with refused(f"unknown classifier of torchvision {name!r}", near):
            verb(ModelSpec(f"torchvision:{name}", 2, 3))


@pytest.mark.parametrize(
    ("name", "size", "reason"), [("vit_b_16", 28, "indivisible"), ("maxvit_t", 32, "partition")]
)
def test_a_classifier_of_other_sizes_is_refused_as_soon_as_it_is_built(name, size, reason):
    text = f"arch torchvision:{name} cannot take images of {size}x{size} ("

    for verb in (check_fit, lambda spec: spec.build(0)):
        with refused(text, reason, "use a larger image_size or another arch"):
            verb(ModelSpec(f"torchvision:{name}", 2, 3, "cifar", size))


@pytest.mark.parametrize(
    ("name", "size"), [("alexnet", 32), ("vgg11_bn", 28), ("densenet121", 28), ("squeezenet1_0", 8)]
)
def test_the_check_refuses_images_that_are_too_small(name, size):
    text = f"arch torchvision:{name} cannot take images of {size}x{size} ("

    with refused(text, "too small", "); use a larger image_size or another arch"):
        check_fit(ModelSpec(f"torchvision:{name}", 2, 3, "cifar", size))


# --- package.module:function --------------------------------------------------------------

NETS = """
    import torch
    from torch import nn

    NUMBER = 7
    called = []

    def keep(**given):
        model = nn.Sequential(nn.Flatten(), nn.LazyLinear(given.get("num_classes", 1)))
        model.given = given
        return model

    def classes(num_classes):
        return keep(num_classes=num_classes)

    def some(num_classes, *, image_size, width=3):
        return keep(num_classes=num_classes, image_size=image_size, width=width)

    def every(**settings):
        return keep(**settings)

    def more(stem, **settings):
        return keep(stem=stem, **settings)

    class Net(nn.Module):
        def __init__(self, num_classes, in_channels, image_size):
            super().__init__()
            self.linear = nn.Linear(in_channels * image_size**2, num_classes)
            self.dropout = nn.Dropout()

        def forward(self, images):
            return self.dropout(self.linear(images.flatten(1)))

    def small(num_classes):
        return nn.Sequential(nn.Flatten(), nn.Linear(64, num_classes))

    def ten(num_classes):
        return nn.Sequential(nn.Flatten(), nn.LazyLinear(10))

    def flat(num_classes):
        return nn.Flatten(0)

    class Pair(nn.Module):
        def __init__(self, num_classes):
            super().__init__()

        def forward(self, images):
            return images, images

    class NoForward(nn.Module):
        def __init__(self, num_classes):
            super().__init__()

    class ReadsValues(nn.Module):
        def __init__(self, num_classes):
            super().__init__()
            self.num_classes = num_classes

        def forward(self, images):
            assert float(images.sum()) == 0 and not self.training
            return torch.rand(len(images), self.num_classes)

    def no_classes(in_channels=3):
        called.append("no_classes")

    def positional(num_classes, /):
        called.append("positional")

    def several(*num_classes):
        called.append("several")

    def wants_more(num_classes, depth):
        called.append("wants_more")

    def type_error(num_classes):
        return num_classes + "x"

    def broken(num_classes):
        raise KeyError("broken")

    def number(num_classes):
        return num_classes

    def the_class(num_classes):
        return nn.ReLU
"""


@pytest.fixture
def nets(tmp_path, monkeypatch):
    """The user's folder, with a module, a package and modules that cannot be imported."""
    files = {
        "mynets.py": dedent(NETS),
        "mypackage/__init__.py": "",
        "mypackage/inner.py": "from mynets import classes\n",
        "lacking.py": "import a_package_that_is_not_there\n",
        "wrong.py": "from math import nonesuch\n",
    }
    write_tree(tmp_path, {name: text.encode() for name, text in files.items()})
    monkeypatch.syspath_prepend(tmp_path)
    yield lambda: importlib.import_module("mynets")
    for name in ("mynets", "mypackage", "mypackage.inner", "lacking", "wrong"):
        sys.modules.pop(name, None)


def spec(name, size=8):
    return ModelSpec(name, 5, 2, "imagenet", size)


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("mynets:classes", {"num_classes": 5}),
        ("mypackage.inner:classes", {"num_classes": 5}),
        ("mynets:some", {"num_classes": 5, "image_size": 8, "width": 3}),
        (
            "mynets:every",
            {"num_classes": 5, "in_channels": 2, "image_size": 8, "stem": "imagenet"},
        ),
        ("mynets:more", {"num_classes": 5, "in_channels": 2, "image_size": 8, "stem": "imagenet"}),
    ],
)
@pytest.mark.usefixtures("nets")
def test_a_function_gets_those_settings_that_it_accepts(name, given):
    model = spec(name).build(0)

    assert isinstance(model, nn.Module)
    assert model.given == given


@pytest.mark.usefixtures("nets")
def test_a_class_is_as_good_as_a_function_and_its_weights_depend_on_the_seed_alone():
    state = torch.get_rng_state()

    first, second, other = (spec("mynets:Net").build(seed) for seed in (1, 1, 2))
    check_fit(spec("mynets:Net"))

    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.linear.weight, second.linear.weight)
    assert not torch.equal(first.linear.weight, other.linear.weight)
    assert first(torch.rand(3, 2, 8, 8)).shape == (3, 5)


REFUSED = {
    "nowhere:net": ("No module named 'nowhere'", "folder that holds nowhere", "PYTHONPATH"),
    "nowhere.inner:net": ("No module named 'nowhere'", "folder that holds nowhere", "PYTHONPATH"),
    "mypackage.nowhere:net": ("'mypackage.nowhere'", "folder that holds mypackage", "PYTHONPATH"),
    "mynets.inner:net": ("'mynets' is not a package", "folder that holds mynets", "PYTHONPATH"),
    "lacking:net": ("'a_package_that_is_not_there'", "environment lacks what lacking imports"),
    "wrong:net": ("cannot import name 'nonesuch'", "environment lacks what wrong imports"),
    "mynets:nonesuch": ("no 'nonesuch' in", "mynets.py"),
    "mynets:no_classes": ("accepts num_classes by name (or **kwargs)",),
    "mynets:positional": ("accepts num_classes by name (or **kwargs)",),
    "mynets:several": ("accepts num_classes by name (or **kwargs)",),
    "mynets:NUMBER": ("is no function", "accepts num_classes"),
    "os:abort": ("accepts num_classes by name (or **kwargs)",),
    "mynets:wants_more": ("raises TypeError for (num_classes=5)", "'depth'"),
    "mynets:type_error": ("raises TypeError for (num_classes=5)", "unsupported operand"),
    "mynets:number": ("returns int, not a torch.nn.Module",),
    "mynets:the_class": ("returns type, not a torch.nn.Module",),
}


@pytest.mark.parametrize("name", REFUSED)
def test_an_own_name_that_leads_to_no_network_is_refused(name, nets):
    for verb in (check_fit, lambda one: one.build(0)):
        with refused(f"arch {name}", *REFUSED[name]):
            verb(spec(name))

    assert nets().called == []


@pytest.mark.usefixtures("nets")
def test_another_mistake_inside_a_function_keeps_its_traceback():
    with pytest.raises(KeyError, match="broken"):
        spec("mynets:broken").build(0)


@pytest.mark.usefixtures("nets")
def test_the_check_runs_an_own_network_on_values_and_in_evaluation_mode():
    state = torch.get_rng_state()

    check_fit(spec("mynets:ReadsValues"))

    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        (
            "mynets:small",
            ("with stem imagenet cannot take images of 8x8 (", "use a larger image_size"),
        ),
        ("mynets:NoForward", ("cannot take images of 8x8 (", "forward")),
        ("mynets:ten", ("returns (2, 10)", "not (2, 5)", "honour num_classes")),
        ("mynets:flat", ("returns (256,)", "not (2, 5)")),
        ("mynets:Pair", ("returns tuple, not one tensor of logits",)),
    ],
)
@pytest.mark.usefixtures("nets")
def test_the_check_refuses_what_does_not_return_logits(name, texts):
    assert isinstance(spec(name).build(0), nn.Module)
    with refused(f"arch {name}", *texts):
        check_fit(spec(name))
