"""What tasks are about: originals, unlearning problems, and what came of them. Types only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from mu import tags
from mu.checkpoints import Checkpoint, DataSpec, Spec
from mu.cli.requests import DeviceOptions
from mu.data.forget_split import ForgetSplit, indices_digest
from mu.data.images import ImageDataset
from mu.evaluation.controls import logit_masked
from mu.evaluation.membership import MAIN, against_unseen, fit_auc
from mu.evaluation.outputs import SplitOutputs
from mu.evaluation.planted import planted
from mu.evaluation.unlearning import measure, predict_split
from mu.keys import oracle_key, unlearning_key
from mu.masks import Mask
from mu.methods.base import Method
from mu.recipes.recipe import Recipe, Stage
from mu.report.alarms import Alarm
from mu.report.run_names import name_unlearning
from mu.report.verdict import Verdict
from mu.runs import Run
from mu.tracking import fingerprint_tag
from mu.training.progress import Progress


def rounding(device: DeviceOptions) -> dict[str, Any]:
    """What a task's document keeps of the device: what decides how sums are rounded.

    ``threads`` only where it was given, so that documents of earlier versions are alike.
    """
    given = {} if device.threads is None else {"threads": device.threads}
    return {"precision": device.precision, **given}


@dataclass(frozen=True)
class TrainTask:
    """An original that is to be trained."""

    dataset: ImageDataset
    recipe: Recipe
    device: DeviceOptions = field(default_factory=DeviceOptions)
    mask: Mask | None = None  # to train under, where it is not to be found
    mask_run_id: str | None = None  # where that comes from
    progress: Progress | None = None  # to continue from
    resume_run_id: str | None = None  # the run that is continued

    def spec(self) -> Spec:
        """Data and recipe."""
        return Spec(DataSpec.of(self.dataset), self.recipe)

    def stages(self) -> list[Stage]:
        """The trainings that make it."""
        return self.recipe.stages(mask_is_known=self.mask is not None)

    def document(self) -> dict[str, Any]:
        """What is kept with the progress, so that the task can be resumed; JSON-ready."""
        return {
            "spec": self.spec().as_dict(),
            "mask_run_id": self.mask_run_id,
            **rounding(self.device),
        }


@dataclass(frozen=True)
class TrackedModel:
    """A network, the run that holds it, and its numbers, where they are needed."""

    run_id: str
    checkpoint: Checkpoint
    metrics: Mapping[str, float] = field(default_factory=dict)

    def spec(self) -> Spec:
        """Data and recipe."""
        return self.checkpoint.spec


@dataclass(frozen=True)
class UnlearningProblem:
    """An original, its data, and what is to be forgotten of it."""

    run_id: str  # of the original
    checkpoint: Checkpoint
    dataset: ImageDataset
    split: ForgetSplit
    forget: str  # as it was requested: class:3
    device: DeviceOptions

    @cached_property
    def before(self) -> SplitOutputs:
        """The original's outputs, computed once for all runs that start from it."""
        return predict_split(self.checkpoint.model, self.split, Run(**self.device.as_dict()))

    @cached_property
    def metrics_before(self) -> dict[str, float]:
        """The original's numbers, and whether the attack behind MIA works on it.

        How far a backdoor works in it, and wrong labels are given, too, where these were planted.
        """
        run, seed = Run(**self.device.as_dict()), self.evaluation_seed
        left = planted(self.checkpoint.model, self.dataset, run)
        return {**_measured(self.before, seed), **fit_auc(self.before), **left}

    @cached_property
    def logit_mask(self) -> dict[str, float]:
        """Numbers of the original with the forgotten classes' outputs hidden, the control.

        Empty where no class is forgotten as a whole, or sets are too large to keep their logits.
        """
        masked = logit_masked(self.before, self.split.forgotten_classes)
        return {} if masked is None else _measured(masked, self.evaluation_seed)

    @property
    def spec(self) -> Spec:
        """Data and recipe of the original."""
        return self.checkpoint.spec

    @property
    def evaluation_seed(self) -> int:
        """Draws the attack's samples: the same for every model of one split."""
        return self.spec.recipe.split.split_seed

    def oracle_key(self, mask_from: str) -> str:
        """Fingerprint of everything that an oracle of this problem depends on, but its seed."""
        retain, mask = indices_digest(self.split.retain), self.checkpoint.mask.fingerprint
        return oracle_key(self.spec, retain, mask, mask_from)

    @cached_property
    def network(self) -> tuple[str, str]:
        """Fingerprints of the original's weights and mask, as the tags of its run have them."""
        weights, mask = self.checkpoint.fingerprint, self.checkpoint.mask.fingerprint
        return fingerprint_tag(weights), fingerprint_tag(mask)

    def config(self) -> dict[str, Any]:
        """What every run about this problem records of the original."""
        recipe = self.spec.recipe
        return {
            "prune_run_id": self.run_id,
            "dataset": self.dataset.name,
            "arch": recipe.model.arch,
            "prune_rate": recipe.pruning["rate"],
        }

    def tags(self) -> dict[str, str]:
        """Fingerprints of data and forget set."""
        return {
            tags.DATA: fingerprint_tag(self.dataset.fingerprint),
            tags.FORGET: fingerprint_tag(self.split.fingerprint),
        }


@dataclass(frozen=True)
class UnlearnTask:
    """One unlearning that is to be done."""

    problem: UnlearningProblem
    method: Method
    seed: int  # of the unlearning
    oracle_run_id: str = "none"  # as it was requested
    extra: Mapping[str, Any] = field(default_factory=dict)  # further options; JSON-ready
    notes: Sequence[str] = ()  # remarks from before the unlearning
    progress: Progress | None = None  # to continue from
    resume_run_id: str | None = None  # the run that is continued

    @property
    def name(self) -> str:
        """Of the method."""
        return self.method.name

    @property
    def title(self) -> str:
        """Of the run, in the runs table."""
        problem = self.problem
        return name_unlearning(
            self.name,
            problem.forget,
            problem.spec,
            self.seed,
            preset=self.method.as_dict().get("preset"),
            sparsity=problem.checkpoint.mask.sparsity,
            count=len(problem.split.forget),
        )

    def document(self) -> dict[str, Any]:
        """What is kept while the run lasts, so that the task can be resumed; JSON-ready."""
        problem = self.problem
        return {
            "prune_run_id": problem.run_id,
            "method": self.name,
            "settings": self.method.by_former_names(),  # as in the files of earlier versions
            "forget": problem.forget,
            "indices": problem.split.forget.tolist(),  # a file may change
            "seed": self.seed,
            "oracle_run_id": self.oracle_run_id,
            **rounding(problem.device),
            "data_dir": problem.dataset.data_dir,
            "beside": dict(self.extra),  # the name in the files of earlier versions
            **({"notes": list(self.notes)} if self.notes else {}),
        }

    def about(self) -> dict[str, Any]:
        """What is kept with the progress: whose it is."""
        return {
            "prune_run_id": self.problem.run_id,
            "method": self.name,
            "forget": self.problem.split.fingerprint,
            "seed": self.seed,
        }

    def config(self) -> dict[str, Any]:
        """What the run records: everything in force, by the names of options."""
        problem = self.problem
        recipe = problem.spec.recipe
        poison = problem.spec.data.poison
        return {
            "method": self.name,
            **self.method.in_force(problem.checkpoint),
            "forget": problem.forget,
            "seed": self.seed,
            **problem.config(),
            "prune_seed": recipe.seed,
            "prune_split_seed": recipe.split.split_seed,
            **(poison.options() if poison else {}),
            **{f"prune_{name}": one for name, one in (poison.planting() if poison else {}).items()},
            **self.extra,
        }

    def tags(self) -> dict[str, str]:
        """Where the run comes from, and what it can be the oracle of."""
        problem = self.problem
        forget = problem.split.fingerprint
        key = unlearning_key(problem.network, forget, self.method, self.seed)
        made = {tags.UPSTREAM: problem.run_id, **problem.tags(), tags.UNLEARNING: key}
        if poison := problem.spec.data.poison:
            made[tags.POISON] = fingerprint_tag(poison.fingerprint)
        if self.name == "retrain":
            made[tags.ORACLE_KEY] = problem.oracle_key(self.method.as_dict()["mask_from"])
        return made


@dataclass(frozen=True)
class Unlearned:
    """An unlearning that is done: its run, and what came of it."""

    run_id: str
    task: UnlearnTask
    checkpoint: Checkpoint
    metrics: dict[str, float]  # as they are logged; completed by the distances to the oracle
    run: Run
    after: SplitOutputs  # of the unlearned model
    oracle: TrackedModel | None = None
    unchanged: bool = False  # whether all weights are the original's
    alarms: Sequence[Alarm] = ()  # what must be known before the numbers are trusted
    verdict: Verdict | None = None  # where there is an oracle to judge by


def _measured(outputs: SplitOutputs, seed: int) -> dict[str, float]:
    """UA, RA, TA, MIA, and ``MIA_auc`` where test images of the same classes are left."""
    auc = "MIA_auc"
    rates = against_unseen(outputs, [MAIN], seed=seed)
    return {**measure(outputs, seed=seed), **({auc: rates[auc]} if auc in rates else {})}
