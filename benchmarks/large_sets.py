"""What a set's size costs: opening a file of a million images, and reading ten times as many.

    python -m benchmarks.large_sets --scratch FOLDER

Files are built by the entry point's own builder, from images made up here, and read in processes
of their own, whose memory is theirs alone. Prints Markdown.
"""

from __future__ import annotations

import argparse
import io
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from PIL import Image

from mu.data.image_files import decode_rgb
from mu.data.store.builder import Contents, Place, build

MILLION = 1_000_000
SIDE = 64
OPENING = """
import resource, sys, time
from pathlib import Path
from mu.data.store.reader import ImageStore
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
store = ImageStore(Path(sys.argv[1]))
seconds = time.perf_counter() - start
store.image("train", len(store.labels("train")) - 1)
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(seconds, (after - before) / 1024)
"""
READING = """
import sys, time
import numpy as np, psutil, torch
from mu import memory
from mu.data import load_data
from mu.data.batches import Batches
def main():
    data = load_data("lmdb", sys.argv[1], stream=True, workers=1)
    cpu = torch.device("cpu")
    whole, some = (data.training_subset(np.arange(count)) for count in (len(data.train), 512))
    batches, few = (Batches(one, 64, cpu, augment="crop_flip") for one in (whole, some))
    for _ in few.shuffled(torch.Generator()): pass
    start, peak = time.perf_counter(), 0
    for number, _ in enumerate(batches.shuffled(torch.Generator())):
        if number % 16 == 0:
            family = [psutil.Process(), *psutil.Process().children(recursive=True)]
            peak = max(peak, sum(one.memory_full_info().uss for one in family))
    print(time.perf_counter() - start, peak / 2**20)
if __name__ == "__main__":
    main()
"""


def main() -> None:
    """Build, open and read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scratch", type=Path, required=True, help="where files are written")
    parser.add_argument("--images", type=int, default=2000, help="of the smaller set that is read")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    options.scratch.mkdir(parents=True, exist_ok=True)
    million = built(options.scratch / "million.lmdb", MILLION, 1)
    opened = [measured(OPENING, million) for _ in range(options.rounds)]
    seconds, mebibytes = np.median(opened, axis=0)
    print(f"\nA file of {MILLION:,} images opens in {seconds:.3f} s, with {mebibytes:.0f} MiB.\n")
    print("| images | seconds | images a second | MiB, all processes |")
    print("|---:" * 4 + "|")
    for count in (options.images, 10 * options.images):
        path = built(options.scratch / f"{count}.lmdb", count, SIDE)
        read = [measured(READING, path) for _ in range(options.rounds)]
        seconds, mebibytes = np.median(read, axis=0)
        rate = count / seconds
        print(f"| {count:,} | {seconds:.1f} | {rate:.0f} | {mebibytes:.0f} |", flush=True)


def built(path: Path, count: int, side: int) -> Path:
    """A file of ``count`` training images of that side, built unless it is there."""
    if path.exists():
        return path
    start = time.perf_counter()
    some = [encoded(number, side) for number in range(16)]

    def read(places: set[Place]):  # type: ignore[no-untyped-def]
        return ((place, some[place[1] % len(some)]) for place in sorted(places))

    labels = {"train": np.arange(count) % 10, "test": np.arange(10)}
    names = tuple(f"class {label}" for label in range(10))
    contents = Contents("made up", "made up", names, labels, f"{count} of side {side}", read)
    build(contents, path, decode_rgb)
    print(f"{path.name}: built in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return path


def encoded(seed: int, side: int) -> bytes:
    """A JPEG of noise, which takes as long to decode as images of that size ever do."""
    pixels = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG")
    return file.getvalue()


def measured(program: str, path: Path) -> list[float]:
    """The two numbers that a program prints of a file."""
    script = path.with_suffix(".py")
    script.write_text(program)
    command = [sys.executable, str(script), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


if __name__ == "__main__":
    main()
