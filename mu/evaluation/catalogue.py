"""What every metric means, in one place: reports, pages and ``mu metrics`` read it here."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mu.errors import UserError, unknown
from mu.evaluation import PARTS

HIGHER, LOWER, ORACLE, NEITHER = "higher", "lower", "nearer to the oracle's", "-"


@dataclass(frozen=True)
class Metric:
    """A logged number."""

    name: str
    definition: str  # one line
    better: str  # which direction is
    unit: str = "%"  # (0-100), ``points``, ``0-1``, ``s``, ...
    source: str = ""  # where it was defined


_PAPER = "Jia et al. 2023"
_SONG = "Song & Mittal 2021"
_CARLINI = "Carlini et al. 2022"
_GOEL = "Goel et al. 2022; Kurmanji et al. 2023"
_GOLATKAR = "Golatkar et al. 2020"
METRICS: dict[str, Metric] = {}


def _add(better: str, unit: str = "%", source: str = "", **definitions: str) -> None:
    """List metrics, by name."""
    for name, definition in definitions.items():
        METRICS[name] = Metric(name, definition, better, unit, source)


def _add_rates(prefix: str, what: str, others: str, better: str, source: str) -> None:
    """AUC and TPR at FPR of one attack on the forget set."""
    text = f"AUC, the probability that {what} is higher on the forget set than on {others}"
    _add(better, "0-1", source, **{f"{prefix}_auc": text})
    for name, rate in {"tpr_at_1": "1", "tpr_at_01": "0.1"}.items():
        text = f"TPR at {rate} % FPR, with the forget set as positives and {others} as negatives"
        nearer = better if better == ORACLE else f"nearer to {rate} %"
        _add(nearer, source=source, **{f"{prefix}_{name}": text})


def _add_parts(name: str, better: str, definition: str, unit: str = "%", source: str = "") -> None:
    """One metric for each part of a split."""
    _add(better, unit, source, **{f"{name}_{part}": definition.format(part) for part in PARTS})


_SCORES = {
    "correctness": "the correctness of the prediction",
    "confidence": "the probability of the true class",
    "entropy": "the entropy of the prediction",
    "m_entropy": "the modified entropy (which uses the label)",
    "prob": "the whole vector of probabilities",
    "threshold": "the modified entropy with a threshold per class",
}
_add(
    ORACLE,
    source=_PAPER,
    UA="unlearning accuracy: 100 - accuracy on the forget set",
    RA="accuracy on the retain set",
    TA="accuracy on the test set, without classes forgotten as a whole",
)
_add(ORACLE, TA_forgotten="accuracy on the test images of classes forgotten as a whole")
for _name, _what in _SCORES.items():
    _text = f"share of the forget set that an attack on {_what} calls non-member"
    _metric = "MIA" if _name == "confidence" else f"MIA_{_name}"
    _add(ORACLE, source=f"{_PAPER}; {_SONG}", **{_metric: _text})
for _name, _what in _SCORES.items():
    _text = f"accuracy on held-out retain and test samples of an attack on {_what}"
    _add(LOWER, source=f"{_PAPER}; {_SONG}", **{f"MIA_privacy_{_name}": _text})
_add_rates("MIA", "confidence", "test images of the same classes", ORACLE, _CARLINI)
_add(
    NEITHER,
    "0-1",
    _CARLINI,
    MIA_fit_auc="AUC, the probability that confidence is higher on a retain than on a test sample: "
    "what the attack behind MIA is fitted on",
)
_NEVER = "images that no model saw"
_add_rates("lira", "the likelihood ratio over reference models", _NEVER, ORACLE, _CARLINI)
_add_rates(
    "ulira",
    "the likelihood ratio over unlearned reference models",
    _NEVER,
    "nearer to 0.5",
    "Hayes et al. 2024",
)
_add_rates(
    "rmia",
    "the relative likelihood over reference models",
    _NEVER,
    ORACLE,
    "Zarifzadeh et al. 2024",
)
_EXPOSED = (
    "share of the {} called members at 1 % FPR, each with a threshold of its own: of one more "
    "reference that did not see it, the log-odds of its true class would be as high with a "
    "probability (Student's t) of at most 1 %; _lo counts those whose 95 % interval lies below "
    "1 %, _hi those whose interval begins there, or Wilson's interval if wider{}"
)
_SINGLE = "Carlini et al. 2022, offline test; Ye et al. 2022, attack R"
_ONION = f"{_SINGLE}; on retained samples: Carlini et al. 2022, The Privacy Onion Effect"
_add(ORACLE, source=_SINGLE, exposed_at_1=_EXPOSED.format("forget set", ""))
_add(ORACLE, source=_ONION, exposed_at_1_retain=_EXPOSED.format("retained samples attacked", ""))
_add(
    "nearer to 1 %",
    source=_SINGLE,
    exposed_at_1_unseen=_EXPOSED.format(
        "test images that no model saw", "; 1 % if the rate of false positives is right"
    ),
)
_MEMORISED = (
    "mean over the {} of P(right, trained on it) - P(right, not), over reference models; _lo and "
    "_hi: t interval over pairs of references"
)
_add(
    NEITHER,
    "-1 to 1",
    "Feldman 2020; Feldman & Zhang 2020",
    memorisation=_MEMORISED.format("forget set"),
    memorisation_retain=_MEMORISED.format("retained samples attacked"),
)
_add(
    LOWER,
    "points",
    f"{_PAPER}: disparity",
    gap="mean absolute difference from the oracle over UA, RA, TA and MIA",
)
_add(
    HIGHER,
    "points",
    gain="how much nearer to the oracle than the original: gap of the original, which unlearned "
    "nothing, - gap",
)
_add(
    NEITHER,
    "0-1",
    "Fisher 1935: test by signs drawn at random",
    gap_p="probability of such a gap, or a larger one, if model and oracle were equally good",
)
_add(NEITHER, "points", gap_oracles="mean gap between oracles that differ in their seed alone")
for _name in ("UA", "RA", "TA", "MIA"):
    _add(LOWER, "points", _PAPER, **{f"gap_{_name}": f"distance to the oracle's {_name}"})
_add_parts(
    "js",
    LOWER,
    "mean Jensen-Shannon divergence from the oracle's predictions on the {} set",
    "0-1",
    "Lin 1991",
)
_add_parts(
    "agreement", HIGHER, "share of the {} set to which model and oracle assign the same class"
)
_add(
    HIGHER,
    "0-1",
    "Zhao et al. 2024",
    tow="tug of war: product over UA, RA and TA of 1 - distance to the oracle's share",
)
_add(
    LOWER,
    "ratio",
    _GOLATKAR,
    weight_distance="distance to the oracle's weights, relative to their norm",
)
_add(
    ORACLE,
    "steps",
    "Chundawat et al. 2023; Golatkar et al. 2020",
    relearn_steps="steps of SGD on the forget set, in the scale of each layer, until 95 % of the "
    "original's accuracy there is back, at most 200; of a class forgotten as a whole as it is or "
    "with its row of the head anew, whichever is quicker",
)
_add(
    NEITHER,
    "per step",
    relearn_lr="rate of the steps that were counted for relearn_steps, where the oracle is quick a "
    "smaller one than 0.01: relearn_steps are fractions of steps of 0.01 then",
)
_add(
    "nearer to 100 %",
    source="Chundawat et al. 2023: anamnesis index",
    depth="100 x relearn_steps / relearn_steps_oracle: 0 knows the forget set still, 100 is as "
    "hard to bring back as from the oracle; counted up to 400",
)
_add(
    ORACLE,
    source="Ha et al. 2026",
    prototype_acc="accuracy on unseen images of the forgotten class once its row of the head is "
    "set from the mean features of 5 of its images, of a length like the other rows",
)
_add(
    ORACLE,
    source="Kim et al. 2025",
    probe_acc="accuracy of 5 nearest neighbours in the features before the head: on unseen images "
    "of a class forgotten as a whole, else on the forget set",
)
_CKA = (
    "linear CKA of the centred features X before the head with Y, those of the {}, on up to 250 "
    "forgotten and 250 retained samples: norm(Y'X)^2 / (norm(X'X) norm(Y'Y))"
)
_add(HIGHER, "0-1", "Kornblith et al. 2019", cka_oracle=_CKA.format("oracle"))
_add(ORACLE, "0-1", "Kornblith et al. 2019", cka_original=_CKA.format("original"))
_add_parts(
    "klom",
    LOWER,
    "95th percentile over the {} set of the divergence between margins of several "
    "oracles and of several unlearned models",
    "nats",
    "Georgiev et al. 2024",
)
_add(
    LOWER,
    source="Guo et al. 2017",
    ece="expected calibration error on the test set, 15 bins of equal width",
)
_add(
    LOWER,
    source=f"Gu et al. 2017; {_PAPER}",
    ASR="attack success rate: share of triggered test images of other classes that are assigned "
    "the target class",
)
_add(
    LOWER,
    ASR_source="ASR among test images of the poisoned classes, if not all classes were poisoned",
)
_add(HIGHER, robust_acc="share of the images of ASR still assigned their true class")
_add(
    ORACLE,
    source=_PAPER,
    UA_poison="100 - share of the poisoned training images, or of those with a planted wrong "
    "label, still assigned the planted label",
)
_add(
    LOWER,
    source=_GOEL,
    IC_err="interclass confusion error: share of the test images of the two classes A and B, whose "
    "labels were exchanged in training, that are not assigned their class",
    IC_err_forget="the same of the training samples of A and B whose labels were exchanged",
)
_add(
    LOWER,
    "images",
    _GOEL,
    Fgt="test images of class A that are assigned class B, plus those of B that are assigned A",
    Fgt_forget="the same of the training samples of A and B whose labels were exchanged",
)
_add(
    HIGHER,
    suspects_precision="share of the suspected samples that are poisoned",
    suspects_recall="share of the poisoned samples that are suspected",
)
_add(NEITHER, "samples", suspects="training samples that are suspected to be poisoned")
_add(LOWER, "s", _PAPER, RTE="seconds of the unlearning itself")
_add(HIGHER, "ratio", speedup="the oracle's RTE divided by this RTE")
_add(LOWER, "images", samples_seen="images that went through the network in unlearning")
_add(LOWER, "MiB", peak_memory_mb="highest memory use during unlearning")
_add(
    NEITHER,
    sparsity="share of prunable weights that are pruned",
    zeros="share of prunable weights that are zero, per epoch",
)
_add(NEITHER, "number", alpha="scale of a method, as given or as it was found")
_add(
    NEITHER,
    "points",
    excess="mean probability of the true class on the forget set - that of the original on unseen "
    "images of the same classes; of a class that goes as a whole, the share that is recognised",
    retain_drop="accuracy that up to 500 images of the retain set have lost, per epoch",
)
_add(
    NEITHER,
    "number",
    best_epoch="the epoch that a training ended with, counted from 1; 0 is the original",
)
_add(NEITHER, "0-1", step_share="share of the first step that the ascent still takes")
_add(LOWER, "nats", loss="mean loss of an epoch, in training mode")
_add(NEITHER, "number", lr="learning rate of the last step of an epoch")
_add(
    HIGHER,
    train_acc="accuracy on training images; per epoch during training",
    VA="accuracy on the validation images",
)
_add(
    LOWER,
    "s",
    train_s="seconds of training an original, all rounds",
    reference_s="seconds of making one reference model",
)
_add(
    HIGHER,
    target_acc="accuracy on the target's test images after the transfer",
    target_train_acc="accuracy on its training images after the transfer",
)
_add(
    HIGHER,
    "points",
    "Newcombe (1998), method 10, for its interval",
    target_gain="target_acc of the unlearned network - that of the original",
)
_add(LOWER, "s", transfer_s="seconds of the training on the target")

SUFFIXES = {
    "_lo": "lower end of the 95 % interval of: ",
    "_hi": "upper end of the 95 % interval of: ",
    "_auc": "AUC (0-1) of the score of: ",
    "_tpr_at_1": "TPR at 1 % FPR of the score of: ",
    "_tpr_at_01": "TPR at 0.1 % FPR of the score of: ",
    "_before": "of the original: ",
    "_oracle": "of the oracle: ",
    "_logit_mask": "of the original with the outputs of forgotten classes hidden: ",
    "_mean": "mean instead of a percentile: ",
}


def metric(name: str) -> Metric:
    """A metric by name, with or without a suffix such as ``_before`` or ``_lo``.

    UserError if there is none; the nearest name is given.
    """
    if name in METRICS:
        return METRICS[name]
    for suffix, words in SUFFIXES.items():
        if name.endswith(suffix) and len(name) > len(suffix):
            base = metric(name.removesuffix(suffix))
            unit = "0-1" if suffix == "_auc" else base.unit
            return replace(base, name=name, definition=f"{words}{base.definition}", unit=unit)
    raise unknown("metric", name, METRICS)


def columns(text: str | None) -> list[str] | None:
    """The columns requested, in their order; refuses what is no metric."""
    if text is None:
        return None
    names = list(dict.fromkeys(word.strip() for word in text.split(",") if word.strip()))
    if not names:
        raise UserError(f"metrics={text!r} names none; give names as UA,MIA,gap")
    for name in names:
        metric(name)
    return names
