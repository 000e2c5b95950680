"""Small networks and data for the tests of pruners."""

import copy

import numpy as np
import torch
from torch import nn
from torchvision.models import VisionTransformer

from mu.masks import Mask
from mu.models import ARCHITECTURES, ModelSpec
from mu.pruning.base import PruningContext
from mu.runs import Run, generator
from tests.helpers import make_dataset, prunable, random_mask

SIZE = 4  # of the images of small networks
DATASET = make_dataset(train=18, test=6, size=SIZE)
DATA = DATASET.training_subset(np.arange(18))


class Net(nn.Module):
    """Convolutions with and without normalisation and a shortcut, dropout and a head."""

    def __init__(self, seed=0, dropout=0.5):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv1 = nn.Conv2d(1, 4, 3, padding=1, bias=False)
            self.norm = nn.BatchNorm2d(4)
            self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
            self.drop = nn.Dropout(dropout)
            self.hidden = nn.Linear(4, 6)
            self.head = nn.Linear(6, 3)

    def forward(self, images):
        signal = torch.relu(self.norm(self.conv1(images)))
        signal = signal + self.drop(torch.relu(self.conv2(signal)))
        return self.head(torch.relu(self.hidden(signal.mean((2, 3)))))


def smooth_net(seed=0):
    """Differentiable as often as wanted, with normalisation by batch, for finite differences."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return nn.Sequential(
            nn.Conv2d(1, 2, 3, stride=2, padding=1),
            nn.BatchNorm2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(8, 3),
            nn.Tanh(),
            nn.Linear(3, 3),
        )


def vision_transformer(**settings):
    """One layer, on 4x4 images of one channel; its head does not start at zero, as theirs does."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        sizes = {"num_layers": 1, "num_heads": 2, "hidden_dim": 4, "mlp_dim": 6} | settings
        model = VisionTransformer(SIZE, 2, num_classes=3, **sizes)
        model.conv_proj = nn.Conv2d(1, sizes["hidden_dim"], 2, stride=2)
        nn.init.normal_(model.heads.head.weight)
    return model


def dense(model, scope="body"):
    return Mask.dense(model, prunable(model, scope))


def half(model, seed=0):
    return random_mask(model, prunable(model), kept=0.5, seed=seed)


def context(data=DATA, seed=0, run=None):
    """What a pruner of that seed may look at."""
    return PruningContext(data, run or Run(device="cpu"), generator(seed, "test"))


def all_images(data=DATA):
    """Every sample as the networks get it, in float64, and the labels."""
    pixels = data.images.pixels[torch.from_numpy(data.indices)].double() / 255
    mean = torch.tensor(data.mean, dtype=torch.float64).view(1, -1, 1, 1)
    std = torch.tensor(data.std, dtype=torch.float64).view(1, -1, 1, 1)
    return (pixels - mean) / std, data.labels


def exact(model, mask):
    """A float64 copy of the masked network, in training mode without dropout."""
    twin = copy.deepcopy(model).double().train()
    mask.apply(twin)
    for module in twin.modules():
        if isinstance(module, nn.Dropout):
            module.eval()
    return twin


# --- architectures ------------------------------------------------------------------------

TRANSFORMERS = ("vit_tiny", "swin_t")
# Of the small ResNets one.
LEFT = ("resnet_mini", "resnet14", *TRANSFORMERS)
CONVOLUTIONAL = tuple(arch for arch in ARCHITECTURES if arch not in LEFT)


def build(arch, size=32):
    """A fresh network for colour images of that size."""
    return ModelSpec(arch, 10, 3, "cifar", size).build(0)


def colour_images(size=32):
    """Two images, for pruners that look at the shape alone."""
    data = make_dataset(train=2, test=2, classes=10, size=size, channels=3)
    return data.training_subset(np.arange(2))
