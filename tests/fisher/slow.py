"""Slow, obvious oracles: one sample at a time, by autograd alone."""

import torch
import torch.nn.functional as F

from mu.data.batches import Batches


def samples(data, model):
    """Pairs of an image (1, channels, height, width) and its label, as ``model`` gets them."""
    dtype = next(model.parameters()).dtype
    images, labels = next(Batches(data, len(data), torch.device("cpu")).in_order())
    return [
        (image[None].to(dtype), int(label)) for image, label in zip(images, labels, strict=True)
    ]


def gradient(model, value):
    """Of a scalar by every parameter, each in its shape."""
    parameters = list(model.parameters())
    return torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)


def kept(model, mask, tensors):
    """The entries of these tensors (a parameter's each) that the mask does not prune."""
    names = [name for name, _ in model.named_parameters()]
    pairs = zip(names, tensors, strict=True)
    return torch.cat([one[mask[name]] if name in mask else one.flatten() for name, one in pairs])


def weights(model, mask):
    return kept(model, mask, [one.detach() for one in model.parameters()])


def loss_gradients(model, mask, data):
    """Gradients of the cross-entropy, a sample a row."""
    model.eval()
    rows = [
        kept(model, mask, gradient(model, F.cross_entropy(model(image), torch.tensor([label]))))
        for image, label in samples(data, model)
    ]
    return torch.stack(rows)


def squares(model, image, label):
    """The squared gradients of log p of that label."""
    return [one.square() for one in gradient(model, model(image).log_softmax(1)[0, label])]


def diagonal(model, data):
    """The mean over samples of the expectation over labels of the squared gradients."""
    model.eval()
    total = [torch.zeros_like(one) for one in model.parameters()]
    for image, _ in samples(data, model):
        likely = model(image).detach().softmax(1)[0]
        for label, probability in enumerate(likely):
            found = squares(model, image, label)
            total = [one + probability * own for one, own in zip(total, found, strict=True)]
    return [one / len(data) for one in total]


def damped(gradients, damping):
    """lambda I + (1/m) G'G, lambda being ``damping`` times the mean of the latter's diagonal."""
    information = gradients.mT @ gradients / len(gradients)
    identity = torch.eye(len(information), dtype=information.dtype)
    return damping * information.diagonal().mean() * identity + information


def error(found, expected):
    """Relative, of the whole."""
    return float((found - expected).norm() / expected.norm())
