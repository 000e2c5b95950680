"""Small networks for 6x6 images of two channels and three classes."""

import torch
from torch import nn

SIZE, CHANNELS, CLASSES = 6, 2, 3


def settled(model, seed=0):
    """In float64 and evaluation mode, with normalisations that are no identities."""
    draws = torch.Generator().manual_seed(seed)
    model = model.double().eval()
    for module in model.modules():
        if isinstance(module, nn.LayerNorm | nn.modules.batchnorm._BatchNorm):
            for one in (*module.parameters(), *module.buffers()):
                if one.is_floating_point():
                    one.data.copy_(torch.rand(one.shape, generator=draws) + 0.5)
    return model


class Net(nn.Module):
    """Linear layers on rows of pixels; what others here are variants of."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(SIZE, 5)
        self.head = nn.Linear(5, CLASSES)

    def rows(self, images):
        """(n, rows, pixels)"""
        return images.flatten(1, 2)

    def forward(self, images):
        return self.head(torch.tanh(self.inner(self.rows(images))).mean(1))


def convolutions():
    """Strides, dilation, groups, 1x1 with and without padding, with and without biases."""
    return nn.Sequential(
        nn.Conv2d(CHANNELS, 6, 3, stride=(2, 1), padding=(1, 2)),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 12, (3, 1), dilation=(2, 1), padding=2, groups=3, bias=False),
        nn.BatchNorm2d(12),
        nn.Hardswish(inplace=True),
        nn.Conv2d(12, 12, 3, padding=1, groups=12),
        nn.BatchNorm2d(12, affine=False),
        nn.Conv2d(12, 4, 1),
        nn.SiLU(inplace=True),
        nn.Conv2d(4, 4, 1, padding=1),
        nn.Conv2d(4, 4, 1, stride=2, padding=1, groups=2),
        nn.AdaptiveAvgPool2d(2),
        nn.Flatten(),
        nn.Linear(16, CLASSES),
    )


class Tokens(nn.Module):
    """Layers on (n, tokens, width)."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(CHANNELS, 4, 2, stride=2)
        self.narrow = nn.LayerNorm(4)
        self.up = nn.Linear(4, 7)
        self.wide = nn.LayerNorm((9, 7), bias=False)
        self.plain = nn.LayerNorm(7, elementwise_affine=False)
        self.down = nn.Linear(7, 4, bias=False)
        self.head = nn.Linear(4, CLASSES)

    def forward(self, images):
        tokens = self.patches(images).flatten(2).mT
        hidden = self.wide(torch.nn.functional.gelu(self.up(self.narrow(tokens))))
        return self.head((tokens + self.down(self.plain(hidden))).mean(1))


class OneDimensional(nn.Module):
    """BatchNorm1d on (n, width, length) and on (n, width); two layers share their gradient."""

    def __init__(self):
        super().__init__()
        self.long, self.one, self.other = nn.BatchNorm1d(12), nn.BatchNorm1d(12), nn.BatchNorm1d(12)
        self.side = nn.Linear(12, 12)
        self.head = nn.Linear(12, CLASSES)

    def forward(self, images):
        signal = torch.tanh(self.long(images.flatten(1, 2))).mean(2)
        return self.head(self.one(signal) + self.other(signal.sin()) + self.side(signal))


class SharedGradient(OneDimensional):
    """The gradient of all outputs is one number, laid out once."""

    def forward(self, images):
        signal = images.flatten(1, 2).mean(2)
        return (self.one(signal) + self.side(signal)).unflatten(1, (CLASSES, 4)).sum(2)


class Named(Net):
    """Layers that are called with a keyword."""

    def forward(self, images):
        return self.head(input=torch.tanh(self.inner(input=self.rows(images))).mean(1))


class Unused(Net):
    """A layer whose output leads nowhere, and one that is never called."""

    def __init__(self):
        super().__init__()
        self.aside, self.idle = nn.Linear(SIZE, 2), nn.Linear(2, 2)

    def forward(self, images):
        self.aside(self.rows(images))
        return super().forward(images)


class Overwriting(Net):
    """It changes the images that it is given."""

    def forward(self, images):
        return super().forward(images.mul_(0.5).add_(1))


# --- networks that no list of layers tells ------------------------------------------------


def same_padding():
    return nn.Sequential(nn.Conv2d(CHANNELS, 3, 3, padding="same"), nn.Flatten(), head(108))


def circular_padding():
    circular = nn.Conv2d(CHANNELS, 3, 3, padding=1, padding_mode="circular")
    return nn.Sequential(circular, nn.Flatten(), head(108))


def group_norm():
    return nn.Sequential(
        nn.Conv2d(CHANNELS, 4, 3), nn.GroupNorm(2, 4), nn.ReLU(inplace=True), nn.Flatten(), head(64)
    )


def head(width):
    return nn.Linear(width, CLASSES)


class Twice(Net):
    """A layer is called twice."""

    def forward(self, images):
        rows = self.rows(images)
        return self.head(torch.tanh(self.inner(rows) + self.inner(rows.cos())).mean(1))


class Tied(Net):
    """Two layers have one weight."""

    def __init__(self):
        super().__init__()
        self.other = nn.Linear(SIZE, 5)
        self.other.weight = self.inner.weight

    def forward(self, images):
        rows = self.rows(images)
        return self.head((self.inner(rows) * self.other(rows.cos())).mean(1))


class TwoNames(Net):
    """A layer stands in two places, and another one shares its bias."""

    def __init__(self):
        super().__init__()
        self.again = self.inner
        self.biased = nn.Linear(SIZE, 5)
        self.biased.bias = self.inner.bias

    def forward(self, images):
        rows = self.rows(images)
        return self.head((self.inner(rows) * self.again(rows.cos()) * self.biased(rows)).mean(1))


class TiedFaintly(Tied):
    """What one use adds to the gradient is less than a trial would notice."""

    def forward(self, images):
        rows = self.rows(images)
        return self.head((self.inner(rows) + 1e-4 * self.other(rows.cos())).mean(1))


class AlsoOutside(Net):
    """A layer's weight is used outside of it, too."""

    def forward(self, images):
        return (
            super().forward(images)
            + self.inner.weight.square().sum() * images.mean((1, 2, 3))[:, None]
        )


class Positions(Net):
    """A parameter of the network's own, as position embeddings are."""

    def __init__(self):
        super().__init__()
        self.positions = nn.Parameter(torch.linspace(-1, 1, 12 * SIZE).view(12, SIZE))

    def rows(self, images):
        return super().rows(images) + self.positions


class WeakScalar(Net):
    """A parameter without dimensions whose gradient is far smaller than the others'."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.tensor(0.5))

    def forward(self, images):
        return super().forward(images) + 1e-6 * self.gate.sin()


class Folded(Net):
    """Rows of images take the place of samples."""

    def forward(self, images):
        rows = self.rows(images)
        hidden = torch.tanh(self.inner(rows.flatten(0, 1))).unflatten(0, rows.shape[:2])
        return self.head(hidden.mean(1))


class TokensFirst(Net):
    """Samples are the second dimension."""

    def forward(self, images):
        return self.head(torch.tanh(self.inner(self.rows(images).transpose(0, 1))).mean(0))


class SamplesReversed(Net):
    """Each row is of another sample."""

    def forward(self, images):
        return super().forward(images.flip(0)).flip(0)


class Table(Net):
    """A layer takes in something that is no image."""

    def __init__(self):
        super().__init__()
        self.register_buffer("table", torch.linspace(-1, 1, 12 * SIZE).view(12, SIZE))

    def forward(self, images):
        return self.head(
            (self.inner(self.table) * self.inner.bias + self.rows(images)[..., :5]).mean(1)
        )


class NoGradient(Net):
    """Its first steps are done without gradients."""

    def rows(self, images):
        with torch.no_grad():
            return super().rows(images)


class Detached(Net):
    """Only the head learns."""

    def forward(self, images):
        return self.head(torch.tanh(self.inner(self.rows(images))).mean(1).detach())


BY_LAYERS = (convolutions, Tokens, OneDimensional, SharedGradient, Named, Unused, Overwriting)
BY_VMAP = (
    same_padding,
    circular_padding,
    group_norm,
    Twice,
    Tied,
    TwoNames,
    TiedFaintly,
    AlsoOutside,
    Positions,
    WeakScalar,
    Folded,
    TokensFirst,
    SamplesReversed,
    Table,
    NoGradient,
    Detached,
)
