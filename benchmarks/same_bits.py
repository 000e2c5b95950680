"""Whether the same seed gives the same weights, with and without cuDNN's deterministic algorithms.

    python -m benchmarks.same_bits --arch resnet18 --samples 12800          on a GPU, half a minute

Trains one epoch several times from the same seed, in each precision. Prints whether the final
weights are the same bits, how far they are from the first ones, relative to their norm, and the
seconds of an epoch. Runs of mu use the deterministic algorithms; the others are for comparison.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch

from benchmarks.training import Work, hardware
from mu.data.images import Subset
from mu.data.torchvision_sets import CIFAR10_STATISTICS
from mu.training.loop import train


def epoch(work: Work, *, deterministic: bool) -> tuple[torch.Tensor, float]:
    """Weights and running statistics after one epoch, and its seconds."""
    run, model, images = work.run(), work.model(), work.images()
    torch.backends.cudnn.deterministic = deterministic  # after the run, which sets it
    data = Subset(images, np.arange(len(images)), *CIFAR10_STATISTICS)
    with run.stopwatch() as seconds:
        train(model, data, work.training(), run)
    state = [one.detach().double().cpu().reshape(-1) for one in model.state_dict().values()]
    return torch.cat(state), seconds[0]


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--arch", default="resnet20")
    parser.add_argument("--samples", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    print(
        "| device | precision | cuDNN | same bits | distance | seconds |\n|---|---|---|---|---|---|"
    )
    for precision in ("bf16", "fp32"):
        for deterministic in (False, True):
            work = Work(
                options.arch, options.samples, options.batch_size, 0, options.device, precision
            )
            ends, seconds = zip(
                *(epoch(work, deterministic=deterministic) for _ in range(options.repeats)),
                strict=True,
            )
            apart = [float((one - ends[0]).norm() / one.norm()) for one in ends[1:]]
            same = all(torch.equal(ends[0], one) for one in ends)
            print(
                f"| {hardware(work.run().device)} | {precision} | "
                f"{'deterministic' if deterministic else 'as torch sets it'} | "
                f"{'yes' if same else 'no'} | {min(apart):.2g} to {max(apart):.2g} | "
                f"{', '.join(f'{one:.2f}' for one in seconds)} |"
            )


if __name__ == "__main__":
    main()
