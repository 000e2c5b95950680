"""What can be measured of an unlearned model, in groups that are asked for by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from mu.data.attack import AttackedDataset
from mu.data.planted import PlantedDataset
from mu.errors import UserError, unknown
from mu.evaluation import PARTS
from mu.evaluation.calibration import ece
from mu.evaluation.case import Case
from mu.evaluation.comparison import compare
from mu.evaluation.depth.measure import MASKED, depth
from mu.evaluation.depth.measure import NAMES as DEPTHS
from mu.evaluation.distance.klom import MOST_NATS, klom_by_part
from mu.evaluation.distance.weights import weight_distance
from mu.evaluation.gap import GAP_METRICS
from mu.evaluation.membership import ATTACKS, MAIN, VECTORS, membership, rates_of_all
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.planted import CONFUSION, backdoor, wrong_labels
from mu.evaluation.unlearning import measure

Numbers = dict[str, float]


@dataclass(frozen=True)
class Group:
    """Numbers that come together."""

    names: tuple[str, ...]  # of the metrics, without ends of intervals and the like
    measure: Callable[[Case], Numbers]  # gives them, for a case that has what it needs
    missing: Callable[[Case], str] = lambda _: ""  # what a case lacks, in words, if it does


def _compared_with_oracle(case: Case) -> Numbers:
    assert case.oracle is not None
    ours, theirs = case.model, case.oracle
    original = case.original.outputs if case.original else None
    return {
        **compare(ours.outputs, theirs.outputs, original, seed=case.seed),
        "weight_distance": weight_distance(ours.checkpoint.model, theirs.checkpoint.model),
    }


def _klom(case: Case) -> Numbers:
    counts = f"{len(case.unlearned)} unlearned models and {len(case.oracles)} oracles"
    case.run.note(
        f"KLoM of {counts}: of so few it is near its largest value, {MOST_NATS:.1f} nats, for "
        "oracles among themselves, too; read the mean beside theirs (the authors take 100 of each)"
        if min(len(case.unlearned), len(case.oracles)) < FEW_MODELS
        else f"KLoM of {counts}; at most {MOST_NATS:.1f} nats"
    )
    return klom_by_part(case.unlearned, case.oracles)


FEW_MODELS = 50  # of which histograms of 20 bins are mostly empty
_MIA = tuple("MIA" if name == MAIN else f"MIA_{name}" for name in ATTACKS)
_PRIVACY = tuple(f"MIA_privacy_{name}" for name in ATTACKS)
_RATES = ("auc", "tpr_at_1", "tpr_at_01")

GROUPS: dict[str, Group] = {
    "accuracy": Group(
        ("UA", "RA", "TA", "TA_forgotten"),
        lambda case: measure(case.model.outputs, seed=case.seed),
    ),
    "membership": Group(
        (*_MIA, *_PRIVACY, *(f"MIA_{rate}" for rate in _RATES)),
        lambda case: membership(case.model.outputs, seed=case.seed),
    ),
    "rates": Group(
        tuple(f"{name}_{rate}" for name in (*_MIA, *_PRIVACY) for rate in _RATES),
        lambda case: rates_of_all(case.model.outputs, seed=case.seed),
    ),
    "calibration": Group(("ece",), lambda case: {"ece": ece(case.model.outputs.test)}),
    "backdoor": Group(
        ("ASR", "ASR_source", "robust_acc", "UA_poison"),
        lambda case: backdoor(case.model.checkpoint.model, case.split.dataset, case.run),
        lambda case: (
            ""
            if isinstance(case.split.dataset, AttackedDataset)
            else "a poisoned original, or an attack: give trigger and target"
        ),
    ),
    "planted": Group(
        ("UA_poison", *CONFUSION),
        lambda case: wrong_labels(case.model.checkpoint.model, case.split.dataset, case.run),
        lambda case: (
            ""
            if isinstance(case.split.dataset, PlantedDataset)
            and not isinstance(case.split.dataset, AttackedDataset)
            else "an original with planted wrong labels: canaries or confusion of prune"
        ),
    ),
    "oracle": Group(
        (
            *("gap", *(f"gap_{name}" for name in GAP_METRICS), "gap_before", "gap_p", "gain"),
            *("tow", "weight_distance"),
            *(f"{kind}_{part}" for kind in ("js", "agreement") for part in PARTS),
        ),
        _compared_with_oracle,
        lambda case: "" if case.oracle else "an oracle: give oracle_run_id",
    ),
    "depth": Group(
        DEPTHS,
        depth,
        lambda case: "" if case.original else "the original: give the ID of an unlearn run",
    ),
    "klom": Group(
        tuple(f"klom_{part}" for part in PARTS),
        _klom,
        lambda case: (
            ""
            if min(len(case.unlearned), len(case.oracles)) > 1
            else "two unlearned models and two oracles or more: give run_ids and oracle_run_ids"
        ),
    ),
}
# Of a model by itself.
OWN = ("accuracy", "membership", "rates", "calibration", "backdoor", "planted")
DEFAULT = ("accuracy", "membership", "calibration", "backdoor", "planted", "oracle", "depth")
FORMER = {"relearn": "depth"}  # names of groups of earlier versions


@dataclass(frozen=True)
class Selection:
    """Which groups to measure, and which of their numbers to keep (None: all)."""

    groups: tuple[str, ...]
    names: frozenset[str] | None

    @classmethod
    def parse(cls, text: str) -> Selection:
        """Read ``default``, ``all``, or groups and metrics with commas between them.

        UserError if a name is neither; the nearest is given.
        """
        if text in ("default", "all"):
            return cls(DEFAULT if text == "default" else tuple(GROUPS), None)
        words = [word.strip() for word in text.split(",") if word.strip()]
        words = [FORMER.get(word, word) for word in words]
        # Where two groups give a number, the first does.
        home = {name: group for group in reversed(GROUPS) for name in GROUPS[group].names}
        if not words:
            raise UserError(
                f"metrics={text!r} names nothing; give default, all or {', '.join(GROUPS)}"
            )
        for word in words:
            if word not in GROUPS and word not in home:
                raise unknown("metric or group", word, [*GROUPS, *home])
        chosen = {word if word in GROUPS else home[word] for word in words}
        names = {word for word in words if word in home}
        names |= {name for word in words if word in GROUPS for name in GROUPS[word].names}
        groups = tuple(name for name in GROUPS if name in chosen)
        return cls(groups, frozenset(names))

    def keeps(self, name: str) -> bool:
        """Whether a number is wanted; the ends of its interval come with it."""
        if self.names is None:
            return True
        endings = ("", "_lo", "_hi", "_mean", "_oracle")
        return any(name.removesuffix(end) in self.names for end in endings)


def check_needs(case: Case, selection: Selection) -> None:
    """Refuse what was asked for by name where the case lacks what it needs.

    UserError if it does; of numbers that need logits, if nothing else was asked for.
    """
    for name in selection.groups:
        group = GROUPS[name]
        if selection.names is not None and (lacking := group.missing(case)):
            wanted = [one for one in group.names if one in selection.names]
            what = name if len(wanted) == len(group.names) else ",".join(wanted)
            raise UserError(f"metrics={what} needs {lacking}")
    if selection.names and selection.names <= _need_logits(case.model.outputs):
        raise UserError(
            f"metrics={','.join(sorted(selection.names))} needs whole vectors of logits, and a set "
            "is too large to keep them; ask for other metrics"
        )


def _need_logits(outputs: SplitOutputs) -> set[str]:
    """Names of the numbers that cannot be measured since logits are not kept."""
    if outputs.has_logits:
        return set()
    attacks = [f"{start}_{score}" for start in ("MIA", "MIA_privacy") for score in VECTORS]
    rates = [f"{attack}_{rate}" for attack in attacks for rate in _RATES]
    gone = [part for part in PARTS if not outputs.parts()[part].has_logits]
    return {*attacks, *rates, *(f"js_{part}" for part in gone)}


def measurements(case: Case, selection: Selection) -> Numbers:
    """All numbers of the selected groups that the case has what it takes for."""
    found: Numbers = {}
    for name in selection.groups:
        group = GROUPS[name]
        if not group.missing(case):
            found |= {n: v for n, v in group.measure(case).items() if selection.keeps(n)}
    return found


def is_depth(name: str) -> bool:
    """Whether a number is of the depth of forgetting, of the model or of its oracle."""
    return name in DEPTHS or name.removesuffix("_oracle") in DEPTHS


def to_oracle(name: str) -> bool:
    """Whether a number, or the end of its interval, depends on which oracle it is compared with."""
    base = name.removesuffix("_lo").removesuffix("_hi").removesuffix("_mean")
    distances = (*GROUPS["oracle"].names, *GROUPS["klom"].names, "depth", MASKED)
    return base in distances or name.endswith("_oracle")


def oracles_numbers(case: Case, names: Iterable[str]) -> Mapping[str, float]:
    """The oracle's own accuracies and attacks, by the names of the model's."""
    wanted = set(names)
    if case.oracle is None:
        return {}
    theirs = Case(case.oracle, case.split, case.run, case.seed)
    found: Numbers = {}
    for group in (GROUPS[name] for name in OWN):
        if wanted & set(group.names) and not group.missing(theirs):
            found |= group.measure(theirs)
    return {name: value for name, value in found.items() if name in wanted}
