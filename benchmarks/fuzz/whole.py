"""Whole files of every kind that mu reads, in a folder."""

from __future__ import annotations

import argparse
import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save as save_tensors

from benchmarks.fuzz.mutations import SENTINEL
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.data import load_data
from mu.data.files.decode import decode_rgb
from mu.data.poison import Poison
from mu.data.poison_options import PoisonOptions
from mu.data.store.builder import build
from mu.data.store.sources import of_tree
from mu.masks import Mask
from mu.originals.train import make_recipe
from mu.pruning.base import prunable
from mu.training.progress import Progress


class Whole:
    """Whole files, made of the digits and an untrained network; and a module nobody may import."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / f"{SENTINEL}.py").write_text("def make(*_, **__):\n    pass\n")
        self.data = load_data("digits")
        recipe = make_recipe(self.data, epochs=2, train_size=200)
        model = recipe.model.build(0)
        spec = Spec(DataSpec.of(self.data), recipe, (3, 5), ("pruned", "ft"))
        self.checkpoint = Checkpoint(model, Mask.dense(model, prunable(model, "body", "fc")), spec)
        self.digests = self.checkpoint.save(folder / "whole")
        for name in ("spec", "weights"):  # which are damaged in turn
            self.checkpoint.save(folder / name)

    def specs(self) -> tuple[bytes, bytes]:
        """As it is, and of a poisoned original."""
        spec = self.checkpoint.spec
        parts = spec.split(self.data)
        poison = Poison.choose(PoisonOptions(), {}, self.data, parts, seed=0)
        poisoned = replace(spec, data=replace(spec.data, poison=poison))
        return spec.to_json(self.digests).encode(), poisoned.to_json(self.digests).encode()

    def progress(self) -> bytes:
        """Of an interrupted training."""
        weights = self.checkpoint.model.state_dict()
        return Progress(0, 1, weights, {}, {}, self.checkpoint.mask).to_bytes({"spec": {}})

    def images(self) -> bytes:
        """A file of images, as the entry dataset builds it."""
        draws = np.random.default_rng(0)
        for part, n in (("train", 6), ("test", 2)):
            for number in range(n):
                place = self.folder / "tree" / part / "ab"[number % 2]
                place.mkdir(parents=True, exist_ok=True)
                pixels = draws.integers(0, 256, (40 if number else 90, 30, 3), np.uint8)
                Image.fromarray(pixels).save(place / f"{number}.png")
        out = self.folder / "images.lmdb"
        build(of_tree(self.folder / "tree"), out, decode_rgb)
        return out.read_bytes()

    def foreign(self) -> tuple[bytes, ...]:
        """Checkpoints from elsewhere; the last one is a program."""
        weights = {name: one.clone() for name, one in self.checkpoint.model.state_dict().items()}
        file = io.BytesIO()
        torch.save({"state_dict": weights, "epoch": 3}, file)
        objects = io.BytesIO()  # in whose place others stand
        torch.save({"model": self.checkpoint.model, "args": argparse.Namespace(lr=0.1)}, objects)
        # What unpickling it would do is to import the sentinel and call its function.
        pickled = f"c{SENTINEL}\nmake\n(tR.".encode()
        return file.getvalue(), objects.getvalue(), save_tensors(weights), pickled
