"""How a model does on the forget, retain and test sets (UA, RA, TA, MIA), and an original."""

from __future__ import annotations

from torch import nn

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.data.images import ImageDataset, Subset
from mu.evaluation import PARTS
from mu.evaluation.membership import MAIN, efficacy
from mu.evaluation.outputs import MOST_LOGITS, Outputs, SplitOutputs, predict
from mu.evaluation.planted import planted
from mu.runs import Run


def predict_split(
    model: nn.Module, split: ForgetSplit, run: Run, *, most_logits: int = MOST_LOGITS
) -> SplitOutputs:
    """Pass every part of the split through the model, once.

    What cannot be measured since a part is too large is a note of the run, once. ``most_logits``:
    of each part; see :func:`mu.evaluation.outputs.predict`.
    """

    def of(part: Subset) -> Outputs:
        return predict(model, part, run, most_logits=most_logits)

    left_out = split.test_forgotten_set
    outputs = SplitOutputs(
        forget=of(split.forget_set),
        retain=of(split.retain_set),
        test=of(split.test_set),
        test_forgotten=of(left_out) if len(left_out) else None,
    )
    for name, one in outputs.parts().items():
        size = f"{len(one):,} samples x {one.classes:,} classes"
        known = name in PARTS
        what = f"{name} set" if known else "test set of forgotten classes"
        lost = f"MIA_prob and js_{name} are" if known else "MIA_prob is"
        text = f"the {what} is too large to keep its logits ({size}), so {lost} left out"
        if not one.has_logits and text not in run.notes:  # a run may have several models
            run.note(text)
    return outputs


def measure(outputs: SplitOutputs, *, seed: int) -> dict[str, float]:
    """The four numbers of the paper, in percent (0-100).

    ``UA`` is 100 - accuracy on the forget set; ``RA`` and ``TA`` are accuracies on the retain
    and the test set; ``MIA`` is the share of the forget set that the confidence attack, fitted
    on equally many retain and test samples, calls non-member. Where a class is forgotten as a
    whole, TA and the attack leave it out of the test set, and ``TA_forgotten`` is the accuracy
    on what is left out. ``seed``: draws the retain samples for the attack; the split's seed, so
    that all models of one split are attacked with the same samples.
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
    """:func:`predict_split`, then :func:`measure`."""
    return measure(predict_split(model, split, run), seed=seed)


def evaluate_original(checkpoint: Checkpoint, dataset: ImageDataset, run: Run) -> dict[str, float]:
    """Accuracy on plain training, validation and test images, and the sparsity.

    Of an original with planted labels also how far these, or its backdoor, work.
    """
    parts = checkpoint.spec.split(dataset)
    sets = {
        "train_acc": dataset.training_subset(parts.train),
        "VA": dataset.training_subset(parts.val),
        "TA": dataset.test_subset(),
    }
    model = checkpoint.model
    found = {name: predict(model, part, run).accuracy() for name, part in sets.items() if len(part)}
    return {**found, **planted(model, dataset, run), "sparsity": checkpoint.mask.sparsity}
