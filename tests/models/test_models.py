"""Architectures: shapes, sizes by hand, seeds; and which of their weights can be pruned."""

import itertools
from math import sqrt

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional

from mu.models import ARCHITECTURES, LARGEST_CIFAR_STEM, ModelSpec
from mu.models.fit import check_fit
from mu.pruning.base import prunable
from tests.helpers import mostly_slow, refused

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
STEMS = ("cifar", "imagenet")
RESNETS = {"resnet_mini": 1, "resnet14": 2, "resnet20": 3}
TRANSFORMERS = ("vit_tiny", "swin_t")
CONVOLUTIONAL = [arch for arch in ARCHITECTURES if arch not in TRANSFORMERS]
ALL = list(itertools.product(ARCHITECTURES, SHAPES, STEMS))
LEAST = {"cifar": 16, "imagenet": 32}  # pixels a side that vgg16_bn needs
TOO_SMALL = [case for case in ALL if case[0] == "vgg16_bn" and case[1][1] < LEAST[case[2]]]
# 119 million weights, for any size of images: trained once.
TWICE = [("vgg16_bn", (3, 64, 64), "imagenet")]
FITTING = [case for case in ALL if case not in TOO_SMALL + TWICE]


def outline(arch, stem="cifar", classes=10, size=32):
    """The network without memory for its weights: names and shapes."""
    with torch.device("meta"):
        return ModelSpec(arch, classes, 3, stem, size).build(0)


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


def layers_of(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


# --- shapes -------------------------------------------------------------------------------


# Each architecture at the smallest size that it takes, large ones with one stem; others are slow.
VGG = ("vgg16_bn", (1, 28, 28), "cifar")
LARGE = ("resnet50", "swin_t", "vgg16_bn")
SMALLEST = [
    case
    for case in FITTING
    if case == VGG or (case[1] == SHAPES[0] and (case[2] == "cifar" or case[0] not in LARGE))
]


@pytest.mark.parametrize(("arch", "shape", "stem"), mostly_slow(FITTING, *SMALLEST))
def test_logits_have_one_column_for_each_class(arch, shape, stem):
    spec = ModelSpec.for_images(arch, stem, 7, shape)
    check_fit(spec)
    model = spec.build(0)
    images = torch.rand(3, *shape)

    trained = model.train()(images)
    trained.sum().backward()

    assert trained.shape == (3, 7)
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        evaluated = model.eval()(images[:1])
    assert evaluated.shape == (1, 7)
    assert evaluated.isfinite().all()


@pytest.mark.parametrize(("arch", "shape", "stem"), TOO_SMALL)
def test_images_that_are_too_small_are_refused(arch, shape, stem):
    spec = ModelSpec.for_images(arch, stem, 7, shape)
    size = f"{shape[1]}x{shape[2]}"

    with refused(f"arch {arch} with stem {stem}", f"images of {size}", "Output size is too small"):
        check_fit(spec)
    with pytest.raises(RuntimeError, match="too small"):
        outline(arch, stem, size=shape[1])(torch.zeros(2, 3, *shape[1:], device="meta"))


@pytest.fixture(scope="module", params=ARCHITECTURES)
def fresh(request):
    """A network for the smallest images that it takes, and four of them."""
    size = 32 if request.param == "vgg16_bn" else 8
    model = ModelSpec(request.param, 5, 1, image_size=size).build(1).eval()
    return model, torch.rand(4, 1, size, size, generator=torch.Generator().manual_seed(0))


def test_in_evaluation_a_logit_does_not_depend_on_the_batch(fresh):
    model, images = fresh

    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-4, atol=1e-4)


def test_gradients_reach_every_weight_of_a_fresh_network(fresh):
    model, images = fresh

    functional.cross_entropy(model(images), torch.arange(4)).backward()

    for name in prunable(model, "head", None):
        assert model.get_parameter(name).grad.abs().sum() > 0, name


@pytest.mark.parametrize(("height", "stem"), [(8, "cifar"), (64, "cifar"), (65, "imagenet")])
def test_the_stem_goes_by_the_size_of_the_images(height, stem):
    assert LARGEST_CIFAR_STEM == 64
    assert ModelSpec.for_images("resnet18", "auto", 2, (3, height, height)).stem == stem


def test_the_stem_decides_how_soon_an_image_shrinks():
    sizes = {}
    for arch, stem in itertools.product(("resnet18", "resnet20"), STEMS):
        model = ModelSpec(arch, 2, 3, stem).build(0)
        seen = []
        model.layer1.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-1]))  # noqa: B023
        model(torch.rand(2, 3, 64, 64))
        sizes[arch, stem] = seen[0]

    assert sizes == {
        ("resnet18", "cifar"): 64,
        ("resnet18", "imagenet"): 16,
        ("resnet20", "cifar"): 64,
        ("resnet20", "imagenet"): 32,
    }


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ({"arch": "resnet18", "num_classes": 0, "in_channels": 3}, ("num_classes=0",)),
        ({"arch": "resnet18", "num_classes": 2, "in_channels": 0}, ("in_channels=0",)),
        (
            {"arch": "resnet18", "num_classes": 2, "in_channels": 3, "stem": "auto"},
            ("stem", "cifar, imagenet"),
        ),
    ],
)
def test_a_spec_that_cannot_be_built_is_refused(values, texts):
    with refused(*texts):
        ModelSpec(**values)


def test_an_unknown_architecture_is_refused_with_the_nearest():
    with refused("unknown arch 'resnet81'", "resnet18"):
        ModelSpec.for_images("resnet81", "auto", 2, (3, 32, 32))
    with refused("unknown arch 'resnet81'", "resnet18"):
        ModelSpec("resnet81", 2, 3).build(0)
    names = "torchvision:NAME and package.module:function"
    with refused("unknown arch 'resnet81'", names):
        check_fit(ModelSpec("resnet81", 2, 3))


def test_a_spec_knows_the_size_of_the_images():
    assert ModelSpec.for_images("resnet18", "auto", 2, (3, 28, 40)).image_size == 28


def test_an_old_spec_without_a_size_still_loads():
    values = {"arch": "resnet18", "num_classes": 2, "in_channels": 3, "stem": "imagenet"}

    assert ModelSpec.of(values) == ModelSpec("resnet18", 2, 3, "imagenet", 32)
    assert ModelSpec.names()[-1] == "image_size"


@pytest.mark.parametrize("arch", [*TRANSFORMERS, "torchvision:vit_b_16", "torchvision:maxvit_t"])
def test_transformers_refuse_images_that_are_not_square(arch):
    with refused(f"arch {arch}", "square", "28x32"):
        ModelSpec.for_images(arch, "auto", 2, (3, 28, 32))


# --- stems and patches --------------------------------------------------------------------


def test_mobilenet_and_resnet50_shrink_small_images_later():
    first = {stem: outline("mobilenet_v3_small", stem).features[0][0] for stem in STEMS}
    assert [first[stem].stride for stem in STEMS] == [(1, 1), (2, 2)]
    assert [first[stem].kernel_size for stem in STEMS] == [(3, 3), (3, 3)]
    first = {stem: outline("resnet50", stem) for stem in STEMS}
    assert [first[stem].conv1.stride for stem in STEMS] == [(1, 1), (2, 2)]
    assert [type(first[stem].maxpool) for stem in STEMS] == [nn.Identity, nn.MaxPool2d]


PATCHES = [
    ("vit_tiny", "cifar", 32, 4),
    ("vit_tiny", "cifar", 64, 8),
    ("vit_tiny", "cifar", 28, 4),
    ("vit_tiny", "cifar", 8, 2),
    ("vit_tiny", "cifar", 3, 1),
    ("vit_tiny", "cifar", 30, 3),
    ("vit_tiny", "imagenet", 224, 16),
    ("vit_tiny", "imagenet", 96, 16),
    ("vit_tiny", "imagenet", 28, 14),
    ("vit_tiny", "imagenet", 100, 20),
    ("swin_t", "cifar", 32, 2),
    ("swin_t", "cifar", 64, 4),
    ("swin_t", "cifar", 28, 2),
    ("swin_t", "cifar", 7, 1),
    ("swin_t", "imagenet", 224, 4),
    ("swin_t", "imagenet", 30, 3),
]


@pytest.mark.parametrize(("arch", "stem", "size", "side"), PATCHES)
def test_patches_suit_the_images_and_cover_them(arch, stem, size, side):
    model = outline(arch, stem, size=size)
    first = next(module for module in model.modules() if isinstance(module, nn.Conv2d))

    assert first.kernel_size == first.stride == (side, side)
    assert size % side == 0
    if arch == "vit_tiny":
        assert model.encoder.pos_embedding.shape == (1, (size // side) ** 2 + 1, 192)
        assert model.conv_proj is first


@pytest.mark.parametrize(
    ("arch", "stem", "size"),
    [
        ("vit_tiny", "cifar", 29),
        ("vit_tiny", "cifar", 34),
        ("vit_tiny", "imagenet", 127),
        ("vit_tiny", "imagenet", 7),
        ("swin_t", "cifar", 61),
        ("swin_t", "imagenet", 67),
    ],
)
def test_images_that_no_patch_divides_are_refused(arch, stem, size):
    spec = ModelSpec(arch, 2, 3, stem, size)

    for verb in (lambda: check_fit(spec), lambda: spec.build(0)):
        with refused(f"arch {arch} with stem {stem}", f"{size}x{size}", "no patch", "multiple of"):
            verb()


@pytest.mark.parametrize(("stem", "window"), [("cifar", 4), ("imagenet", 7)])
def test_swin_has_the_depths_heads_and_windows_of_the_paper(stem, window):
    model = outline("swin_t", stem)
    stages = [model.features[place] for place in (1, 3, 5, 7)]

    assert [len(stage) for stage in stages] == [2, 2, 6, 2]
    assert [stage[0].attn.num_heads for stage in stages] == [3, 6, 12, 24]
    assert [stage[0].attn.qkv.in_features for stage in stages] == [96, 192, 384, 768]
    for stage in stages:
        assert [block.attn.window_size for block in stage] == [[window, window]] * len(stage)
    assert stages[-1][-1].stochastic_depth.p == pytest.approx(0.2)


# --- seeds --------------------------------------------------------------------------------


SEEDED = [case for case in itertools.product(ARCHITECTURES, STEMS) if case[0] != "vgg16_bn"]


@pytest.mark.parametrize(
    ("arch", "stem"),
    mostly_slow(
        [*SEEDED, ("vgg16_bn", "cifar")], ("resnet_mini", "cifar"), ("resnet20", "imagenet"),
        ("vit_tiny", "cifar"), ("mobilenet_v3_small", "cifar"),
    ),
)  # fmt: skip
def test_weights_depend_on_the_seed_alone_and_leave_the_global_generator_alone(arch, stem):
    spec = ModelSpec(arch, 4, 1, stem)
    torch.manual_seed(1)
    state = torch.get_rng_state()

    first = spec.build(5).state_dict()
    assert torch.equal(torch.get_rng_state(), state)
    torch.rand(17)
    second, other = spec.build(5).state_dict(), spec.build(6).state_dict()

    assert first.keys() == second.keys() == other.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
    drawn = [name for name in first if first[name].ndim > 1 and first[name].is_floating_point()]
    drawn = [name for name in drawn if name != "class_token"]
    if arch == "fastnet":  # as many filters as channels: the identity, of which nothing is drawn
        drawn = [name for name in drawn if first[name].shape[0] != first[name].shape[1]]
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


@pytest.mark.parametrize(
    ("arch", "stem"), [("resnet18", "cifar"), ("resnet18", "imagenet"), ("resnet50", "cifar")]
)
def test_all_weights_of_a_resnet_but_the_first_are_torchvisions_for_the_seed(arch, stem):
    ours = ModelSpec(arch, 4, 1, stem).build(5).state_dict()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        theirs = torchvision.models.get_model(arch, weights=None, num_classes=4).state_dict()

    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours if name != "conv1.weight")


@pytest.mark.parametrize("arch", ["vgg16_bn", "swin_t", "torchvision:regnet_x_400mf"])
def test_a_check_leaves_the_global_generator_alone(arch):
    state = torch.get_rng_state()

    check_fit(ModelSpec(arch, 4, 1))

    assert torch.equal(torch.get_rng_state(), state)


# --- sizes by hand ------------------------------------------------------------------------


def size_by_hand(blocks, channels, classes):
    """Weights of a small ResNet: 3x3 convolutions, normalisation, shortcuts, head."""
    total = 9 * channels * 16 + 2 * 16
    width_in = 16
    for width in (16, 32, 64):
        for block in range(blocks):
            first = width_in if block == 0 else width
            total += 9 * first * width + 2 * width + 9 * width * width + 2 * width
            if first != width:
                total += first * width + 2 * width
        width_in = width
    return total + 64 * classes + classes


@pytest.mark.parametrize("arch", RESNETS)
@pytest.mark.parametrize(("channels", "classes"), [(1, 10), (3, 100)])
def test_small_resnets_have_the_layers_and_weights_of_the_paper(arch, channels, classes):
    blocks = RESNETS[arch]
    model = ModelSpec(arch, classes, channels).build(0)
    convolutions = layers_of(model, nn.Conv2d)
    three = [layer for layer in convolutions if layer.kernel_size == (3, 3)]
    one = [layer for layer in convolutions if layer.kernel_size == (1, 1)]

    assert len(three) == 1 + 6 * blocks
    assert len(three) + len(layers_of(model, nn.Linear)) == 6 * blocks + 2
    assert len(one) == 2
    assert len(three) + len(one) == len(convolutions)
    assert parameters_of(model) == size_by_hand(blocks, channels, classes)


def test_resnet18_with_the_cifar_stem_has_11_17_million_weights():
    assert parameters_of(ModelSpec("resnet18", 10, 3, "cifar").build(0)) == 11_173_962


TORCHVISIONS = ("resnet18", "resnet50", "vgg16_bn", "mobilenet_v3_small", "swin_t")


@pytest.mark.parametrize("arch", TORCHVISIONS)
def test_with_the_imagenet_stem_a_network_is_that_of_torchvision(arch):
    model = outline(arch, "imagenet", 1000, 224)
    with torch.device("meta"):
        theirs = torchvision.models.get_model(arch, weights=None)
    published = torchvision.models.get_model_weights(arch).DEFAULT.meta["num_params"]

    assert parameters_of(model) == published
    shapes = [
        {name: value.shape for name, value in one.state_dict().items()} for one in (model, theirs)
    ]
    assert shapes[0] == shapes[1]
    assert [type(one) for one in model.modules()] == [type(one) for one in theirs.modules()]


def test_vit_tiny_has_the_weights_of_deit_tiny():
    model = outline("vit_tiny", "imagenet", 1000, 224)

    assert parameters_of(model) == 5_717_416
    assert {layer.self_attention.num_heads for layer in model.encoder.layers} == {3}


def test_vgg16_bn_with_the_cifar_stem_has_one_linear_layer():
    model = outline("vgg16_bn")

    assert [(one.in_features, one.out_features) for one in layers_of(model, nn.Linear)] == [
        (512, 10)
    ]
    assert parameters_of(model) == 14_728_266
    theirs = torchvision.models.vgg16_bn
    with torch.device("meta"):
        features = theirs(weights=None).features
    assert str(model.features) == str(features[:-1]), "the mean takes the last pooling's place"


# Of one channel the first convolution is another one, and no other.
@pytest.mark.parametrize(
    ("arch", "channels"),
    [("resnet_mini", 1), *((arch, 3) for arch in CONVOLUTIONAL if arch != "fastnet")],
)
def test_convolutions_start_with_the_variance_of_he(arch, channels):
    model = ModelSpec(arch, 10, channels).build(0)

    for layer in layers_of(model, nn.Conv2d):
        fan_out = layer.out_channels * layer.kernel_size[0] ** 2
        expected = (2 / fan_out) ** 0.5
        # The deviation of n normal draws is exact to about 1 / sqrt(2 n).
        slack = 5 / (2 * layer.weight.numel()) ** 0.5
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=slack)
        assert layer.bias is None or not layer.bias.any()


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_and_head_of_a_fresh_vision_transformer(channels):
    model = ModelSpec("vit_tiny", 100, channels).build(0)
    weights = model.conv_proj.weight.detach()

    assert weights.shape == (192, channels, 4, 4)
    assert float(weights.std()) == pytest.approx(sqrt(1 / (16 * channels)), rel=0.05)
    assert not model.conv_proj.bias.any()
    assert float(model.heads.head.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not model.heads.head.bias.any()


# --- what can be pruned -------------------------------------------------------------------


# Linear layers that are not the head, and the head.
LINEAR = {
    ("fastnet", "cifar"): ([], "head"),
    ("fastnet", "imagenet"): ([], "head"),
    ("vgg16_bn", "imagenet"): (["classifier.0", "classifier.3"], "classifier.6"),
    ("vgg16_bn", "cifar"): ([], "classifier"),
    ("mobilenet_v3_small", "imagenet"): (["classifier.0"], "classifier.3"),
    ("mobilenet_v3_small", "cifar"): (["classifier.0"], "classifier.3"),
}


@pytest.mark.parametrize(("arch", "stem"), list(itertools.product(CONVOLUTIONAL, STEMS)))
def test_convolutions_can_be_pruned_and_head_norms_and_biases_cannot(arch, stem):
    model = outline(arch, stem)
    convolutions = {
        f"{name}.weight"
        for name, one in model.named_modules()
        if isinstance(one, nn.Conv2d) and isinstance(one.weight, nn.Parameter)  # not fixed
    }
    others, head = LINEAR.get((arch, stem), ([], "fc"))

    names = prunable(model, "body", head)

    assert set(names) == convolutions | {f"{name}.weight" for name in others}
    assert len(names) == len(set(names))
    assert set(names) <= dict(model.named_parameters()).keys()
    assert set(prunable(model, "head", head)) == {*names, f"{head}.weight"}
    assert prunable(model, "all", head) == [name for name, _ in model.named_parameters()]


def weights_of_vit():
    parts = ("self_attention.in_proj_", "self_attention.out_proj.", "mlp.0.", "mlp.3.")
    layers = [f"encoder.layers.encoder_layer_{number}" for number in range(12)]
    return {"conv_proj.weight"} | {f"{layer}.{part}weight" for layer in layers for part in parts}


def weights_of_swin():
    blocks = [
        f"features.{place}.{number}"
        for place, depth in ((1, 2), (3, 2), (5, 6), (7, 2))
        for number in range(depth)
    ]
    parts = ("attn.qkv", "attn.proj", "mlp.0", "mlp.3")
    merging = {f"features.{place}.reduction.weight" for place in (2, 4, 6)}
    inner = {f"{block}.{part}.weight" for block in blocks for part in parts}
    return {"features.0.0.weight"} | merging | inner


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize(
    ("arch", "expected", "head"),
    [
        ("vit_tiny", weights_of_vit(), "heads.head"),
        ("swin_t", weights_of_swin(), "head"),
    ],
)
def test_of_a_transformer_patches_attention_and_linear_layers_can_be_pruned(
    arch, stem, expected, head
):
    model = outline(arch, stem)
    names = prunable(model, "body", head)
    every = [name for name, _ in model.named_parameters()]

    assert set(names) == expected
    assert len(names) == len(expected)
    assert set(prunable(model, "head", head)) == expected | {f"{head}.weight"}
    assert prunable(model, "all", head) == every
    left = set(every) - set(names) - {f"{head}.weight"}
    assert all(
        name.endswith(("bias", "pos_embedding", "class_token", "relative_position_bias_table"))
        or ".ln" in name
        or "norm" in name
        or name == "features.0.2.weight"
        for name in left
    )


class TinyTransformer(nn.Module):
    """Patches, one encoder layer, a norm and a head: what vision transformers are made of."""

    def __init__(self, **attention):
        super().__init__()
        self.patches = nn.Conv2d(1, 8, 4, 4)
        self.position = nn.Parameter(torch.zeros(1, 4, 8))
        self.encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        if attention:
            self.encoder.self_attn = nn.MultiheadAttention(8, 2, batch_first=True, **attention)
        self.norm = nn.LayerNorm(8)
        self.head = nn.Linear(8, 3)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.encoder(tokens)).mean(1))


def test_attention_can_be_pruned_with_its_projections_in_and_out():
    model = TinyTransformer()
    assert model(torch.rand(2, 1, 8, 8)).shape == (2, 3)

    assert set(prunable(model, "body", "head")) == {
        "patches.weight",
        "encoder.self_attn.in_proj_weight",
        "encoder.self_attn.out_proj.weight",
        "encoder.linear1.weight",
        "encoder.linear2.weight",
    }


def test_attention_with_separate_projections_can_be_pruned_too():
    names = prunable(TinyTransformer(kdim=6, vdim=5), "body", "head")

    assert {name for name in names if "attn" in name} == {
        "encoder.self_attn.q_proj_weight",
        "encoder.self_attn.k_proj_weight",
        "encoder.self_attn.v_proj_weight",
        "encoder.self_attn.out_proj.weight",
    }


def test_the_biases_of_attention_cannot_be_pruned_whatever_their_shape():
    names = prunable(TinyTransformer(add_bias_kv=True), "body", "head")

    assert {name for name in names if "attn" in name} == {
        "encoder.self_attn.in_proj_weight",
        "encoder.self_attn.out_proj.weight",
    }


def test_linear_layers_can_be_pruned_but_the_head():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 3),
        nn.Flatten(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.Linear(4, 2),
    )

    assert prunable(model, "body", "5") == ["0.weight", "2.weight", "4.weight"]
    assert prunable(model, "body", "2") == ["0.weight", "4.weight", "5.weight"]
    assert prunable(model, "body", None) == ["0.weight", "2.weight", "4.weight", "5.weight"]
    assert prunable(nn.Linear(3, 2), "body", "") == []


def test_of_shared_weights_the_name_that_a_mask_can_have_is_given_once():
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    model[2].weight = model[0].weight

    assert prunable(model, "body", "3") == ["0.weight"]
    assert prunable(model, "body", "2") == ["3.weight"]  # the head's, wherever else it is used
    assert prunable(model, "head", "2") == ["0.weight", "3.weight"]
    assert prunable(model, "body", None) == ["0.weight", "3.weight"]
