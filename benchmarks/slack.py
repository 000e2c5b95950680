"""Why sparsity can widen the gap of methods that move weights once: what forgetting costs there.

    python -m benchmarks.slack                                          digits, about a minute
    python -m benchmarks.slack --dataset cifar10_jpeg --data-dir PATH   about 20 minutes

For originals of several sparsities and some classes:

- overlap: the cosine between the importance of the weights for the class and for all others,
  importance being the root of the diagonal Fisher information. 1 means that the class uses what
  the others use, 0 that it has weights of its own.
- RA left: accuracy on the retain set once the class is forgotten at any price
  (``max_accuracy_drop=100``), and UA then.
- moved: how much the retain set's logits move, relative to the forget set's (root mean square),
  when the weights go a hundredth of their own length the way that the method went.

Works without MLflow. Prints Markdown: means over the classes, and each class in brackets.
"""

from __future__ import annotations

import argparse
import copy
import statistics

import torch
from torch import Tensor, nn

import mu
from benchmarks.settings import settings_of
from mu.data.forget_split import ForgetSplit
from mu.data.images import Subset
from mu.evaluation.outputs import predict
from mu.fisher.diagonal import diagonal
from mu.fisher.free import FreeWeights
from mu.methods import make_method

METHODS = ("ga", "iu")
MEASURES = ("UA", "RA left", "moved")
IMAGES = 200  # of which importance is an average
STEP = 0.01  # in units of the weights' length


def main() -> None:
    """Train the originals, then print a row for each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--dataset", default="digits")
    parser.add_argument("--data-dir", default=None)
    parser.add_argument("--rates", type=float, nargs="+", default=[0.0, 0.8, 0.95])
    parser.add_argument("--classes", type=int, nargs="+", default=[3, 5, 8])
    options = parser.parse_args()
    data = mu.load_data(options.dataset, options.data_dir)
    columns = ["overlap", *(f"{method}: {name}" for method in METHODS for name in MEASURES)]
    print("| original | RA | " + " | ".join(columns) + " |")
    print("|---" + "|---:" * (1 + len(columns)) + "|")
    for rate in options.rates:
        recipe = mu.make_recipe(data, rate=rate, **settings_of(options.dataset))
        original = mu.train_original(data, recipe, mu.Run())
        splits = [mu.forget_split(original, data, f"class:{label}") for label in options.classes]
        rows = [measured(original, split) for split in splits]
        before = mu.evaluate(original.model, splits[0], mu.Run())["RA"]
        cells = [cell([row[name] for row in rows]) for name in columns]
        print(f"| {100 * rate:g} % | {before:.1f} | " + " | ".join(cells) + " |", flush=True)


def measured(original: mu.Checkpoint, split: ForgetSplit) -> dict[str, float]:
    """The numbers of one class of one original."""
    found = {"overlap": overlap(original, split)}
    for method in METHODS:
        checkpoint = copy.deepcopy(original)
        make_method(method, {"max_accuracy_drop": 100.0}).unlearn(checkpoint, split, mu.Run())
        metrics = mu.evaluate(checkpoint.model, split, mu.Run())
        values = metrics["UA"], metrics["RA"], moved(original, checkpoint, split)
        found |= {f"{method}: {name}": value for name, value in zip(MEASURES, values, strict=True)}
    return found


def moved(original: mu.Checkpoint, unlearned: mu.Checkpoint, split: ForgetSplit) -> float:
    """How much a short step towards the unlearned network moves the retain set's logits.

    Relative to what it does to the forget set's; logits are taken without their mean over the
    classes, which says nothing.
    """
    free = FreeWeights(original.model, original.mask)
    start, end = free.now(), FreeWeights(unlearned.model, unlearned.mask).now()
    way = (end - start) / (end - start).norm()
    sizes = []
    for part in (split.retain_set, split.forget_set):
        before, after = (
            centred(original.model, free, start + length * way, part)
            for length in (0.0, STEP * float(start.norm()))
        )
        sizes.append(float((after - before).square().mean().sqrt()))
    free.write(start)
    return sizes[0] / sizes[1]


def centred(model: nn.Module, free: FreeWeights, weights: Tensor, part: Subset) -> Tensor:
    """Logits (n_samples, n_classes) at some weights, of mean zero over the classes."""
    free.write(weights)
    logits = predict(model, part, mu.Run()).logits
    return logits - logits.mean(1, keepdim=True)


def overlap(original: mu.Checkpoint, split: ForgetSplit) -> float:
    """Cosine of the importances of the free weights for the forget and for the retain set."""
    one, other = (importance(original, part) for part in (split.forget_set, split.retain_set))
    return float(torch.nn.functional.cosine_similarity(one, other, dim=0))


def importance(original: mu.Checkpoint, part: Subset) -> Tensor:
    """The root of the diagonal Fisher information, a vector (free weights,)."""
    run = mu.Run(show_progress=False)
    model = run.place(original.model)
    found = diagonal(model, part.drawn(IMAGES, run.generator("images")), run)
    return FreeWeights(model, original.mask).vector(found).double().sqrt()


def cell(values: list[float]) -> str:
    """The mean, and all in brackets."""
    return f"{statistics.mean(values):.2f} ({', '.join(f'{one:.2f}' for one in values)})"


if __name__ == "__main__":
    main()
