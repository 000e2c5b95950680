"""A model that is measured, and everything that it is compared with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

from mu.checkpoints import Checkpoint
from mu.data.forget_split import ForgetSplit
from mu.evaluation.depth.samples import Features, Samples
from mu.evaluation.outputs import SplitOutputs
from mu.runs import Run


@dataclass(frozen=True)
class Model:
    """A model and what it says of each part of a split."""

    checkpoint: Checkpoint
    outputs: SplitOutputs


@dataclass(frozen=True)
class Case:
    """An unlearned model and everything that it is compared with, where that is known."""

    model: Model
    split: ForgetSplit
    run: Run
    seed: int  # the split's: all models of one split are attacked with the same samples
    original: Model | None = None
    oracle: Model | None = None
    # Of all models of several seeds, the first ones among them.
    unlearned: Sequence[SplitOutputs] = ()
    oracles: Sequence[SplitOutputs] = ()
    _features: dict[int, Features] = field(default_factory=dict, init=False, compare=False)

    @cached_property
    def samples(self) -> Samples:
        """The samples that features are taken of."""
        return Samples.of(self.split, self.run)

    def features(self, model: Model) -> Features:
        """What the head of one of the models is given for :attr:`samples`; computed once.

        UserError if it has no head.
        """
        if id(model) not in self._features:
            found = Features.of(model.checkpoint.model, self.samples, self.run)
            self._features[id(model)] = found
        return self._features[id(model)]
