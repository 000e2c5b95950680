"""How an original does on the data that it was trained on, and on the test set."""

from __future__ import annotations

from mu.checkpoints import Checkpoint
from mu.data.images import ImageDataset
from mu.evaluation.outputs import predict
from mu.evaluation.planted import planted
from mu.runs import Run


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
