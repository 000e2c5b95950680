"""RUM: each third of the forget set is forgotten by another method, by how much it is memorised.

The forget set is sorted by memorisation and cut into three parts. ``low``, ``middle`` and ``high``
name the methods that forget them, one after the other, with their settings:
``high=salun:epochs=5:lr=0.1``. Each starts from the network that the one before left, and parts
whose turn has not come belong to its retain set, as in the authors' code.

Memorisation is how much likelier a network is right about a sample if it was trained on it. The
references of a finished run of ``lira`` tell (``lira_run_id``). Without, a proxy stands for it: the
less sure the original is of a sample's label, the more it is taken to have memorised that. (The
authors' proxy of that name is the mean confidence over the original's training, which is not kept;
of an original that fits its data, the log-odds still tell samples apart.)

The rule holds for each method by itself; of ``max_accuracy_drop`` each that follows it gets the
same share. If the end is farther from the goal for the whole forget set than the original was, that
is kept. Methods keep no progress here: after an interruption it starts again.

References
----------
Zhao, Kurmanji, Bărbulescu, Triantafillou & Triantafillou (2024), What Makes Unlearning Hard and
What to Do About It, NeurIPS.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from mu.errors import UserError
from mu.hyperparameters import LARGEST_RATE, setting
from mu.methods.presets import Preset, Presets, published
from mu.methods.stopping import Stopping

if TYPE_CHECKING:
    from mu.checkpoints import Checkpoint
    from mu.data.forget_split import ForgetSplit
    from mu.methods.base import Method
    from mu.runs import Run
    from mu.training.progress import Checkpointer

CODE = "RUM f593c9d: main_rum.py"


@dataclass(frozen=True)
class Rum(Presets, Stopping):
    """The forget set in three parts, each to a method."""

    name = "rum"
    aliases = ("RUM",)
    iterative: ClassVar[bool] = False
    scale: ClassVar[tuple[str, ...]] = ("lr",)
    presets: ClassVar[Mapping[str, Preset]] = {
        "paper": published(CODE, low="nothing", middle="ft:epochs=10:lr=0.1")
        | published(CODE, high="salun:epochs=5:lr=0.1"),
    }

    low: str = setting("nothing", help="method of the least memorised third, with settings")
    middle: str = setting("ft", help="method of the middle third: ft:epochs=10:lr=0.1, say")
    high: str = setting("salun", help="method of the most memorised third, with settings")
    lr: float | None = setting(
        None,
        help="learning rate of those methods that have one and for which none is given",
        above=0,
        high=LARGEST_RATE,
    )
    lira_run_id: str | None = setting(
        None, help="run of lira whose references tell memorisation (default: a proxy)"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        self.methods()

    @property
    def ranked_by(self) -> str | None:
        """See :meth:`Method.ranked_by`."""
        return self.lira_run_id

    def methods(self) -> list[Method]:
        """The methods of the three parts, by the settings in force."""
        from mu.methods.spelling import spelled_method

        given = {} if self.lr is None else {"lr": self.lr}
        found = [spelled_method(text, given) for text in (self.low, self.middle, self.high)]
        for one in found:
            if one.name == self.name or one.classes_only:
                raise UserError(f"{one.name} cannot forget a part of rum's; name another method")
        share = self.max_accuracy_drop / max(1, sum(map(_by_rule, found)))
        return [one.replace(max_accuracy_drop=share) if _by_rule(one) else one for one in found]

    def check(self, split: ForgetSplit) -> None:
        """See :meth:`Method.check`: each method's, and that all samples' memorisation is known."""
        for one in self.methods():
            one.check(split)
        if self.lira_run_id and (missing := _unranked(split)):
            raise UserError(
                f"lira_run_id={self.lira_run_id} does not tell the memorisation of {missing} "
                "samples of the forget set; attack that forget set, or leave it out"
            )

    def unlearn(
        self,
        checkpoint: Checkpoint,
        split: ForgetSplit,
        run: Run,
        checkpointer: Checkpointer | None = None,
    ) -> None:
        """See :meth:`Method.unlearn`."""
        import numpy as np

        from mu.methods.steps.criterion import StopCriterion
        from mu.methods.steps.routing import forget_in_turn, in_parts, least_sure, unless_farther

        model, ranked = run.place(checkpoint.model), split.ranked
        if _unranked(split):
            if self.lira_run_id:  # of references of an attack, which forget other samples
                run.note(f"run {self.lira_run_id} does not rank these samples: the proxy does")
            ranked = least_sure(model, split, run)
        parts = in_parts(ranked[np.isin(ranked, split.forget)], 3)
        methods = self.methods()

        def work() -> None:
            forget_in_turn(methods, parts, checkpoint, split, run)

        if not any(map(_by_rule, methods)):
            work()
            return
        criterion = StopCriterion(model, split, run, self.max_accuracy_drop)
        unless_farther(criterion, checkpoint, run, work)


def _by_rule(method: Method) -> bool:
    """Whether the rule says how far a method goes."""
    return isinstance(method, Stopping) and not method._given()


def _unranked(split: ForgetSplit) -> int:
    """How many samples of the forget set no run ranks by memorisation."""
    return len({*split.forget.tolist()} - {*split.ranked.tolist()})
