"""Architectures: shapes, sizes by hand, seeds; and which of their weights can be pruned."""

import itertools

import pytest
import torch
from torch import nn

from mu.models import ARCHITECTURES, LARGEST_CIFAR_STEM, ModelSpec
from mu.pruning.base import prunable
from tests.helpers import refused

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 64, 64)]
STEMS = ("cifar", "imagenet")
RESNETS = {"resnet_mini": 1, "resnet14": 2, "resnet20": 3}


def parameters_of(model):
    return sum(parameter.numel() for parameter in model.parameters())


def layers_of(model, kind):
    return [module for module in model.modules() if isinstance(module, kind)]


# --- shapes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arch", "shape", "stem"), list(itertools.product(ARCHITECTURES, SHAPES, STEMS))
)
def test_logits_have_one_column_for_each_class(arch, shape, stem):
    model = ModelSpec.for_images(arch, stem, 7, shape).build(0)
    images = torch.rand(3, *shape)

    trained = model.train()(images)
    trained.sum().backward()

    assert trained.shape == (3, 7)
    assert all(parameter.grad is not None for parameter in model.parameters())
    with torch.no_grad():
        evaluated = model.eval()(images[:1])
    assert evaluated.shape == (1, 7)
    assert evaluated.isfinite().all()


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_in_evaluation_a_logit_does_not_depend_on_the_batch(arch):
    model = ModelSpec(arch, 5, 1).build(1).eval()
    images = torch.rand(4, 1, 8, 8)

    with torch.no_grad():
        alone = torch.cat([model(image[None]) for image in images])
        torch.testing.assert_close(model(images), alone, rtol=1e-4, atol=1e-4)


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


# --- seeds --------------------------------------------------------------------------------


@pytest.mark.parametrize(("arch", "stem"), list(itertools.product(ARCHITECTURES, STEMS)))
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
    drawn = [name for name in first if first[name].ndim > 1]
    assert not any(torch.equal(first[name], other[name]) for name in drawn)


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


def test_resnet18_with_the_imagenet_stem_is_that_of_torchvision():
    assert parameters_of(ModelSpec("resnet18", 1000, 3, "imagenet").build(0)) == 11_689_512


@pytest.mark.parametrize("arch", ARCHITECTURES)
def test_convolutions_start_with_the_variance_of_he(arch):
    model = ModelSpec(arch, 10, 3).build(0)

    for layer in layers_of(model, nn.Conv2d):
        fan_out = layer.out_channels * layer.kernel_size[0] ** 2
        expected = (2 / fan_out) ** 0.5
        # The deviation of n normal draws is exact to about 1 / sqrt(2 n).
        slack = 5 / (2 * layer.weight.numel()) ** 0.5
        assert float(layer.weight.detach().std()) == pytest.approx(expected, rel=slack)


# --- what can be pruned -------------------------------------------------------------------


@pytest.mark.parametrize(("arch", "stem"), list(itertools.product(ARCHITECTURES, STEMS)))
def test_convolutions_can_be_pruned_and_head_norms_and_biases_cannot(arch, stem):
    model = ModelSpec(arch, 10, 3, stem).build(0)
    convolutions = {
        f"{name}.weight" for name, one in model.named_modules() if isinstance(one, nn.Conv2d)
    }

    names = prunable(model)

    assert set(names) == convolutions
    assert len(names) == len(convolutions)
    assert set(names) <= dict(model.named_parameters()).keys()


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

    assert set(prunable(model)) == {
        "patches.weight",
        "encoder.self_attn.in_proj_weight",
        "encoder.self_attn.out_proj.weight",
        "encoder.linear1.weight",
        "encoder.linear2.weight",
    }


def test_attention_with_separate_projections_can_be_pruned_too():
    names = prunable(TinyTransformer(kdim=6, vdim=5))

    assert {name for name in names if "attn" in name} == {
        "encoder.self_attn.q_proj_weight",
        "encoder.self_attn.k_proj_weight",
        "encoder.self_attn.v_proj_weight",
        "encoder.self_attn.out_proj.weight",
    }


def test_the_biases_of_attention_cannot_be_pruned_whatever_their_shape():
    names = prunable(TinyTransformer(add_bias_kv=True))

    assert {name for name in names if "attn" in name} == {
        "encoder.self_attn.in_proj_weight",
        "encoder.self_attn.out_proj.weight",
    }


def test_linear_layers_can_be_pruned_but_the_last():
    model = nn.Sequential(
        nn.Conv1d(1, 2, 3),
        nn.Flatten(),
        nn.Linear(4, 4),
        nn.ReLU(),
        nn.Linear(4, 4),
        nn.Linear(4, 2),
    )

    assert prunable(model) == ["0.weight", "2.weight", "4.weight"]


def test_a_lone_linear_layer_is_the_head_and_a_lone_convolution_is_not():
    assert prunable(nn.Linear(3, 2)) == []
    assert prunable(nn.Conv2d(1, 2, 3)) == ["weight"]
