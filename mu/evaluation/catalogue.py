"""What every metric means, in one place: reports, pages and ``mu metrics`` read it here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mu.errors import unknown

HIGHER, LOWER, ORACLE, NEITHER = "higher", "lower", "nearer to the oracle's", "-"


@dataclass(frozen=True)
class Metric:
    """A logged number.

    Parameters
    ----------
    definition
        One line.
    better
        Which direction is.
    unit
        ``%`` (0-100), ``points``, ``0-1``, ``s``, ...
    source
        Where it was defined.
    """

    name: str
    definition: str
    better: str
    unit: str = "%"
    source: str = ""


_PAPER = "Jia et al. 2023"
_SONG = "Song & Mittal 2021"
_CARLINI = "Carlini et al. 2022"

_SCORES = {
    "correctness": ("the correctness of the prediction", _SONG),
    "confidence": ("the probability of the true class", _SONG),
    "entropy": ("the entropy of the prediction", _SONG),
    "m_entropy": ("the modified entropy (which uses the label)", _SONG),
    "prob": ("the whole vector of probabilities", _SONG),
    "threshold": ("the modified entropy with a threshold per class", _SONG),
}
_PARTS = {"forget": "forget", "retain": "retain", "test": "test"}
_TRUE_POSITIVES = "TPR at {rate} % FPR, with the {members} as positives and {others} as negatives"


def _efficacy() -> list[Metric]:
    return [
        Metric(
            "MIA" if name == "confidence" else f"MIA_{name}",
            f"share of the forget set that an attack on {what} calls non-member",
            ORACLE,
            source=f"{_PAPER}; {source}",
        )
        for name, (what, source) in _SCORES.items()
    ]


def _privacy() -> list[Metric]:
    return [
        Metric(
            f"MIA_privacy_{name}",
            f"accuracy on held-out retain and test samples of an attack on {what}",
            LOWER,
            source=f"{_PAPER}; {source}",
        )
        for name, (what, source) in _SCORES.items()
    ]


def _rates(
    prefix: str, what: str, members: str, others: str, better: str, source: str
) -> list[Metric]:
    """AUC and TPR at FPR of one attack."""
    tpr = {"tpr_at_1": "1", "tpr_at_01": "0.1"}
    return [
        Metric(
            f"{prefix}_auc",
            f"AUC, the probability that {what} is higher on the {members} than on {others}",
            better,
            "0-1",
            source,
        ),
        *(
            Metric(
                f"{prefix}_{name}",
                _TRUE_POSITIVES.format(members=members, rate=rate, others=others),
                better if better == ORACLE else f"nearer to {rate} %",
                source=source,
            )
            for name, rate in tpr.items()
        ),
    ]


_UNSEEN = "test images of the same classes"
_NEVER = "images that no model saw"
_LIST = [
    Metric("UA", "unlearning accuracy: 100 - accuracy on the forget set", ORACLE, source=_PAPER),
    Metric("RA", "accuracy on the retain set", ORACLE, source=_PAPER),
    Metric(
        "TA",
        "accuracy on the test set, without classes forgotten as a whole",
        ORACLE,
        source=_PAPER,
    ),
    Metric("TA_forgotten", "accuracy on the test images of classes forgotten as a whole", ORACLE),
    *_efficacy(),
    *_privacy(),
    *_rates("MIA", "confidence", "forget set", _UNSEEN, ORACLE, _CARLINI),
    *_rates(
        "lira", "the likelihood ratio over reference models", "forget set", _NEVER, ORACLE, _CARLINI
    ),
    *_rates(
        "ulira",
        "the likelihood ratio over unlearned reference models",
        "forget set",
        _NEVER,
        "nearer to 0.5",
        "Hayes et al. 2024",
    ),
    *_rates(
        "rmia",
        "the relative likelihood over reference models",
        "forget set",
        _NEVER,
        ORACLE,
        "Zarifzadeh et al. 2024",
    ),
    Metric(
        "gap",
        "mean absolute difference from the oracle over UA, RA, TA and MIA",
        LOWER,
        "points",
        f"{_PAPER}: disparity",
    ),
    *(
        Metric(f"gap_{name}", f"distance to the oracle's {name}", LOWER, "points", _PAPER)
        for name in ("UA", "RA", "TA", "MIA")
    ),
    *(
        Metric(
            f"js_{part}",
            f"mean Jensen-Shannon divergence from the oracle's predictions on the {name} set",
            LOWER,
            "0-1",
            "Lin 1991",
        )
        for part, name in _PARTS.items()
    ),
    *(
        Metric(
            f"agreement_{part}",
            f"share of the {name} set to which model and oracle assign the same class",
            HIGHER,
        )
        for part, name in _PARTS.items()
    ),
    Metric(
        "tow",
        "tug of war: product over UA, RA and TA of 1 - distance to the oracle's share",
        HIGHER,
        "0-1",
        "Zhao et al. 2024",
    ),
    Metric(
        "weight_distance",
        "distance to the oracle's weights, relative to their norm",
        LOWER,
        "ratio",
        "Golatkar et al. 2020",
    ),
    Metric(
        "relearn_steps",
        "steps of training on the forget set until 95 % of its accuracy is back",
        ORACLE,
        "steps",
        "Golatkar et al. 2020",
    ),
    *(
        Metric(
            f"klom_{part}",
            f"95th percentile over the {name} set of the divergence between margins of several "
            "oracles and of several unlearned models",
            LOWER,
            "nats",
            "Georgiev et al. 2024",
        )
        for part, name in _PARTS.items()
    ),
    Metric(
        "ece",
        "expected calibration error on the test set, 15 bins of equal width",
        LOWER,
        source="Guo et al. 2017",
    ),
    Metric(
        "ASR",
        "attack success rate: share of triggered test images of other classes that are assigned "
        "the target class",
        LOWER,
        source="Gu et al. 2017; " + _PAPER,
    ),
    Metric(
        "ASR_source",
        "ASR among test images of the poisoned classes, if not all classes were poisoned",
        LOWER,
    ),
    Metric("robust_acc", "share of the images of ASR still assigned their true class", HIGHER),
    Metric(
        "UA_poison",
        "100 - share of the poisoned training images still assigned the attacker's label",
        ORACLE,
        source=_PAPER,
    ),
    Metric("suspects_precision", "share of the suspected samples that are poisoned", HIGHER),
    Metric("suspects_recall", "share of the poisoned samples that are suspected", HIGHER),
    Metric("RTE", "seconds of the unlearning itself", LOWER, "s", _PAPER),
    Metric("speedup", "the oracle's RTE divided by this RTE", HIGHER, "ratio"),
    Metric("samples_seen", "images that went through the network in unlearning", LOWER, "images"),
    Metric("peak_memory_mb", "highest memory use during unlearning", LOWER, "MiB"),
    Metric("sparsity", "share of prunable weights that are pruned", NEITHER),
    Metric("zeros", "share of prunable weights that are zero, per epoch", NEITHER),
    Metric("alpha", "scale of a method, as given or as it was found", NEITHER, "number"),
    Metric("step_share", "share of the first step that the ascent still takes", NEITHER, "0-1"),
    Metric("loss", "mean loss of an epoch, in training mode", LOWER, "nats"),
    Metric("lr", "learning rate of the last step of an epoch", NEITHER, "number"),
    Metric("train_acc", "accuracy on training images; per epoch during training", HIGHER),
    Metric("VA", "accuracy on the validation images", HIGHER),
    Metric("train_s", "seconds of training an original, all rounds", LOWER, "s"),
    Metric("reference_s", "seconds of making one reference model", LOWER, "s"),
    Metric("target_acc", "accuracy on the target's test images after the transfer", HIGHER),
    Metric("target_train_acc", "accuracy on its training images after the transfer", HIGHER),
    Metric(
        "target_gain",
        "target_acc of the unlearned network - that of the original",
        HIGHER,
        "points",
        "Newcombe (1998), method 10, for its interval",
    ),
    Metric("transfer_s", "seconds of the training on the target", LOWER, "s"),
]
METRICS: dict[str, Metric] = {one.name: one for one in _LIST}

SUFFIXES = {
    "_lo": "lower end of the 95 % interval of: ",
    "_hi": "upper end of the 95 % interval of: ",
    "_auc": "AUC (0-1) of the score of: ",
    "_tpr_at_1": "TPR at 1 % FPR of the score of: ",
    "_tpr_at_01": "TPR at 0.1 % FPR of the score of: ",
    "_before": "of the original: ",
    "_oracle": "of the oracle: ",
    "_mean": "mean instead of a percentile: ",
}


def metric(name: str) -> Metric:
    """A metric by name, with or without a suffix such as ``_before`` or ``_lo``.

    Raises
    ------
    UserError
        If there is none; the nearest name is given.
    """
    if name in METRICS:
        return METRICS[name]
    for suffix, words in SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            base = metric(name.removesuffix(suffix))
            unit = "0-1" if suffix == "_auc" else base.unit
            return replace(base, name=name, definition=f"{words}{base.definition}", unit=unit)
    raise unknown("metric", name, METRICS)
