"""What the words of a statement mean, for people who do not know the field."""

from __future__ import annotations

# What no bundle proves, whatever its numbers are. The statement's own limits come after these.
STANDING_LIMITS = (
    "A signature shows who states what about which files, and that nothing was changed since. It "
    "does not show that the statement is true.",
    "Weights alone cannot prove forgetting: training with and without a record can give the same "
    "weights (Thudi et al. 2022).",
    "Whoever provides the model can cheat a check of unlearning (Zhang et al. 2024). The tests "
    "here are evidence if the provider is honest; running them again is better.",
)

KINDS = {
    "erasure": "erasure at a person's request",
    "withdrawal": "consent withdrawn",
    "poison": "data that somebody tampered with",
    "label_error": "wrong labels",
    "disgorgement": "data that must not have been used",
}

# Of records, in the order in which they are told.
STATUSES = {
    "trained": "trained on",
    "copy": "exact copies of them, trained on",
    "near_copy": "nearly the same picture, trained on",
    "validation": "used to choose settings, not trained on",
    "left_out": "in the data, but left out of training",
    "test": "used to test, not trained on",
    "forgotten": "forgotten before, by an earlier request",
    "unknown": "not found in the data",
}
TRAINED = ("trained", "copy", "near_copy")

DECISIONS = {
    "unlearn": "unlearned",
    "retrain": "retrained",
    "retire": "retired",
    "not_affected": "not affected",
}
UNDONE = {  # while the gate is closed
    "unlearn": "not replaced",
    "retrain": "not replaced",
    "retire": "not retired",
    "not_affected": "not affected",
}
REPLACED = ("unlearn", "retrain")

LEFTOVERS = {
    "progress": "state of a training that can go on",
    "references": "reference models of attacks",
    "records": "list of sample numbers",
    "names": "list of file names",
    "thumbnails": "small pictures of records",
    "checkpoint": "weights of another model",
    "deleted_run": "run that was deleted, but not removed",
    "undelivered": "files that were not delivered to the store",
    "cache": "cached data",
    "dataset_copy": "copy of the data set",
}

VERDICTS = {
    "forgotten": (
        "Forgotten, by the tests that were made.",
        "They find the records in the new model no better than the thresholds allow.",
    ),
    "residual": (
        "Not forgotten: a trace remains.",
        "The tests still find at least part of the records in the new model. The request is not "
        "finished.",
    ),
    "no_baseline": (
        "Nothing can be shown.",
        "The tests did not find the records in the original model either, so no test can show that "
        "they are gone from the new one.",
    ),
}
RECORDS = {
    "forgotten": "forgotten",
    "residual": "trace remains",
    "no_baseline": "nothing can be shown",
}

RETRAIN = "retrain"
METHODS = {
    RETRAIN: "A new model was trained from the beginning without the records.",
    "ft": "The model was trained on without the records until it lost them.",
    "l1_sparse": "The model was trained on without the records, while small weights were pushed to "
    "zero, so that what only the records had taught is lost.",
    "ga": "The training on the records was undone by small steps in the opposite direction.",
    "ff": "Noise was added to the weights that the other records need least.",
    "iu": "The change that leaving the records out would make was estimated and applied once.",
    "rl": "The records were given random labels, and the model trained on with the others.",
    "salun": "The weights that depend most on the records were trained on random labels for them.",
    "neggrad": "The model was trained away from the records and on the others at the same time.",
    "scrub": "The model was driven away from its old answers on the records, and kept to them on "
    "the others.",
    "ssd": "The weights that matter to the records far more than to the rest were made smaller.",
    "euk": "The last layers were trained from the beginning without the records; the first layers, "
    "which saw them, stayed.",
    "cfk": "The last layers were trained on without the records; the first layers, which saw them, "
    "stayed.",
}
UNCHANGED = "The weights are those of the original: nothing was changed."
OTHER_METHOD = "The model was changed by an unlearning method that mu's documentation describes."
