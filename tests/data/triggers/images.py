"""Small random images for the tests of triggers."""

from pathlib import Path

import numpy as np
import torch

MARK = Path(__file__).with_name("mark.png")  # 3x2 pixels with alpha
GREY, COLOUR = (1, 8, 8), (3, 8, 8)
SHAPES = [GREY, COLOUR, (4, 8, 8), (3, 4, 4), (3, 9, 5), (1, 5, 16), (2, 32, 32)]


def images(shape, n=5, seed=0):
    """Random bytes; uint8 of shape (n, channels, height, width)."""
    return torch.from_numpy(np.random.default_rng(seed).integers(0, 256, (n, *shape), np.uint8))


def everywhere(pixels):
    """Every place of every byte of a batch: (sample, channel, row, column)."""
    return np.ndindex(*pixels.shape)
