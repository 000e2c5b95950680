"""How a model does on the forget, retain and test sets: UA, RA, TA, MIA."""

from __future__ import annotations

from torch import nn

from mu.data.forget import ForgetSplit
from mu.evaluation.membership import MAIN, efficacy
from mu.evaluation.outputs import SplitOutputs, predict
from mu.runs import Run


def look(model: nn.Module, split: ForgetSplit, run: Run) -> SplitOutputs:
    """Pass every part of the split through the model, once."""
    left_out = split.test_forgotten_set
    return SplitOutputs(
        forget=predict(model, split.forget_set, run),
        retain=predict(model, split.retain_set, run),
        test=predict(model, split.test_set, run),
        test_forgotten=predict(model, left_out, run) if len(left_out) else None,
    )


def measure(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """The four numbers of the paper, in percent (0-100).

    ``UA`` is 100 - accuracy on the forget set; ``RA`` and ``TA`` are accuracies on the retain
    and the test set; ``MIA`` is the share of the forget set that the confidence attack, fitted
    on equally many retain and test samples, calls non-member. Where a class is forgotten as a
    whole, TA and the attack leave it out of the test set, and ``TA_forgotten`` is the accuracy
    on what is left out.

    Parameters
    ----------
    seed
        Draws the retain samples for the attack; the split's seed, so that all models of one
        split are attacked with the same samples.
    """
    found = {
        "UA": 100.0 - outputs.forget.accuracy(),
        "RA": outputs.retain.accuracy(),
        "TA": outputs.test.accuracy(),
        "MIA": efficacy(outputs, MAIN, seed=seed),
    }
    if outputs.test_forgotten is not None:
        found["TA_forgotten"] = outputs.test_forgotten.accuracy()
    return found


def evaluate(model: nn.Module, split: ForgetSplit, run: Run, *, seed: int = 0) -> dict[str, float]:
    """:func:`look`, then :func:`measure`."""
    return measure(look(model, split, run), seed=seed)
