"""How fast images reach the network: in memory, from a file of images, from a folder.

    python -m benchmarks.loading --folder FOLDER --lmdb FILE.lmdb

The folder and the file hold the same images (mlflow run . -e dataset builds the file). The floor
is bare decoding with the same transforms, one process for each worker, nothing else. Prints
Markdown: images a second with 1, 2 and 4 workers, and the share of the floor.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Iterator
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path

import numpy as np
import torch

from mu.data import load_data
from mu.data.batches import Batches
from mu.data.images import ImageDataset
from mu.data.store.reader import ImageStore
from mu.data.streaming import Decoder

SIZE = 224
BATCH = 64
CPU = torch.device("cpu")


def main() -> None:
    """Time everything, several times in turn, and print medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--lmdb", type=Path, required=True)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2, 4])
    options = parser.parse_args()
    torch.set_num_threads(1)
    print("| workers | floor | lmdb | of the floor | folder | of the floor |")
    print("|---:" * 6 + "|")
    for workers in options.workers:
        file, folder = (
            passes(load_data(name, place, SIZE, stream=True, workers=workers), options.images)
            for name, place in (("lmdb", options.lmdb), ("imagefolder", options.folder))
        )
        rates = np.array(
            [
                (floor(options.lmdb, workers, options.images), next(file), next(folder))
                for _ in range(options.rounds)
            ]
        )
        bare, packed, loose = np.median(rates, axis=0)
        shares = np.median(rates[:, 1:] / rates[:, :1], axis=0) * 100
        print(
            f"| {workers} | {bare:.0f} | {packed:.0f} | {shares[0]:.0f} % | {loose:.0f} | "
            f"{shares[1]:.0f} % |",
            flush=True,
        )
    dataset = load_data("lmdb", options.lmdb, 64)
    rate = next(passes(dataset, options.images))
    print(f"\nIn memory, at 64 pixels: {rate:.0f} images a second.")


def passes(dataset: ImageDataset, images: int) -> Iterator[float]:
    """Images a second of each pass in turn; workers are started before the first."""
    subset = dataset.training_subset(np.arange(images))
    batches = Batches(subset, BATCH, CPU, augment="crop_flip")
    seed = 0
    while True:
        generator = torch.Generator().manual_seed(seed)
        order = batches.shuffled(generator)
        if seed == 0:  # all of it: starting, and the file's first reading
            for _ in order:
                pass
            seed += 1
            continue
        start = time.perf_counter()
        for _ in order:
            pass
        yield images / (time.perf_counter() - start)
        seed += 1


def floor(path: Path, workers: int, images: int) -> float:
    """Images a second that so many processes decode and transform, each its share."""
    context = multiprocessing.get_context("spawn")
    # Everything is ready, go, all is decoded: neither start nor end of a process is timed.
    barriers = [context.Barrier(workers + 1) for _ in range(3)]
    processes = [
        context.Process(target=decode, args=(path, range(one, images, workers), *barriers))
        for one in range(workers)
    ]
    for process in processes:
        process.start()
    ready, go, done = barriers
    ready.wait()
    start = time.perf_counter()
    go.wait()
    done.wait()
    rate = images / (time.perf_counter() - start)
    for process in processes:
        process.join()
    return rate


def decode(path: Path, numbers: range, ready: Barrier, go: Barrier, done: Barrier) -> None:
    """Decode these images between the second and the third barrier."""
    torch.set_num_threads(1)
    decoder = Decoder(partial(ImageStore(path).named_image, "train"), SIZE, 3, "crop_flip")
    decoder[0, 1]
    ready.wait()
    go.wait()
    for number in numbers:
        decoder[number, number]
    done.wait()


if __name__ == "__main__":
    main()
