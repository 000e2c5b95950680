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
    "correctness": ("whether the prediction is right", _SONG),
    "confidence": ("the probability of the true class", _SONG),
    "entropy": ("the entropy of the prediction", _SONG),
    "m_entropy": ("the modified entropy, which knows the label", _SONG),
    "prob": ("the whole vector of probabilities", _SONG),
    "threshold": ("thresholds by class on the modified entropy", _SONG),
}
_PARTS = {"forget": "forget", "retain": "retain", "test": "test"}
_TRUE_POSITIVES = (
    "share of the {members} found where at most {rate} % of {others} are taken for one"
)


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
            f"how often an attack on {what} is right about held-out retain and test samples",
            LOWER,
            source=f"{_PAPER}; {source}",
        )
        for name, (what, source) in _SCORES.items()
    ]


def _rates(
    prefix: str, what: str, members: str, others: str, better: str, source: str
) -> list[Metric]:
    """AUC and rates of true positives of one attack."""
    tpr = {"tpr_at_1": "1", "tpr_at_01": "0.1"}
    return [
        Metric(
            f"{prefix}_auc",
            f"chance that {what} is higher for one of the {members} than for one of {others}",
            better,
            "0-1",
            source,
        ),
        *(
            Metric(
                f"{prefix}_{name}",
                _TRUE_POSITIVES.format(members=members, rate=rate, others=others),
                better,
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
        "accuracy on the test set, without a class that is forgotten as a whole",
        ORACLE,
        source=_PAPER,
    ),
    Metric("TA_forgotten", "accuracy on the test images of a class forgotten as a whole", ORACLE),
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
        "mean distance to the oracle over UA, RA, TA and MIA",
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
            f"share of the {name} set that model and oracle give the same class",
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
        "distance to the oracle's weights, relative to their length",
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
        "attack success rate: share of triggered test images of other classes that are given the "
        "class that the attacker wants",
        LOWER,
        source="Gu et al. 2017; " + _PAPER,
    ),
    Metric(
        "ASR_source",
        "the same among test images of the classes that were poisoned, where these are not all",
        LOWER,
    ),
    Metric("robust_acc", "share of the same images still given their true class", HIGHER),
    Metric(
        "UA_poison",
        "100 - share of the poisoned training images still given the label of the attacker",
        ORACLE,
        source=_PAPER,
    ),
    Metric("suspects_precision", "share of the suspected samples that are poisoned", HIGHER),
    Metric("suspects_recall", "share of the poisoned samples that are suspected", HIGHER),
    Metric("RTE", "seconds of the unlearning itself", LOWER, "s", _PAPER),
    Metric("speedup", "the oracle's RTE over this RTE", HIGHER, "ratio"),
    Metric("samples_seen", "images that went through the network meanwhile", LOWER, "images"),
    Metric("peak_memory_mb", "highest memory use meanwhile", LOWER, "MiB"),
    Metric("sparsity", "share of prunable weights that are pruned", NEITHER),
    Metric("zeros", "share of prunable weights that are zero, epoch by epoch", NEITHER),
    Metric("alpha", "scale of a method, as given or as its rule found it", NEITHER, "number"),
    Metric("step_share", "share of the first step that ascent still takes", NEITHER, "0-1"),
    Metric("loss", "mean loss of an epoch, in training mode", LOWER, "nats"),
    Metric("lr", "learning rate of an epoch's last step", NEITHER, "number"),
    Metric("train_acc", "accuracy on training images; by epoch, while they are trained on", HIGHER),
    Metric("VA", "accuracy on the validation images", HIGHER),
    Metric("train_s", "seconds of training an original, all rounds", LOWER, "s"),
    Metric("reference_s", "seconds of making a reference model", LOWER, "s"),
    Metric("target_acc", "accuracy on the target's test images after the transfer", HIGHER),
    Metric("target_train_acc", "the same on its training images", HIGHER),
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
    "_auc": "AUC (0-1) of the score behind: ",
    "_tpr_at_1": "true positives at 1 % false ones, of the score behind: ",
    "_tpr_at_01": "true positives at 0.1 % false ones, of the score behind: ",
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
