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
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mu.data.files.decode import decode_rgb
from mu.data.store.builder import Contents, Place, build

MILLION = 1_000_000
SIDE = 64
OPENING = """
import sys, time
from pathlib import Path
import psutil
from mu.data.store.reader import ImageStore
before = psutil.Process().memory_info().rss
start = time.perf_counter()
store = ImageStore(Path(sys.argv[1]))
seconds = time.perf_counter() - start
store.image("train", len(store.labels("train")) - 1)
print(seconds, (psutil.Process().memory_info().rss - before) / 2**20)
"""
READING = """
import sys, time
from pathlib import Path
import numpy as np, psutil, torch
from mu.data import load_data
from mu.data.batches import Batches
def taken(process):
    # Not the pages of the file that is read, which the system takes back when it needs them.
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    kib = [int(line.split()[1]) for line in lines if line.startswith(("RssAnon", "RssShmem"))]
    return sum(kib) / 1024
def main():
    data = load_data("lmdb", sys.argv[1], stream=True, workers=1, image_size=224)
    cpu = torch.device("cpu")
    whole, some = (data.training_subset(np.arange(count)) for count in (len(data.train), 400))
    batches, few = (Batches(one, 64, cpu, augment="crop_flip") for one in (whole, some))
    for _ in few.shuffled(torch.Generator()): pass
    start, peak = time.perf_counter(), 0
    for number, _ in enumerate(batches.shuffled(torch.Generator())):
        if number % 8 == 7:
            family = [psutil.Process(), *psutil.Process().children(recursive=True)]
            peak = max(peak, sum(taken(one) for one in family))
    print(time.perf_counter() - start, peak)
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

    def read(places: set[Place]) -> Iterator[tuple[Place, bytes]]:
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
    script = path.with_name("measured.py")
    script.write_text(program)
    command = [sys.executable, str(script), str(path)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [float(number) for number in done.stdout.split()]


if __name__ == "__main__":
    main()
