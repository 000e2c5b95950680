"""The trials of a search, one after the other; which is best, and how far they came."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mu.errors import ProcessDiedError, UserError
from mu.methods import method_class
from mu.methods.base import Method
from mu.methods.stopping import Stopping
from mu.tasks.problem import UnlearnTask
from mu.tasks.tune.judge import Judge, Rank, Result
from mu.tasks.tune.sampler import suggest
from mu.tasks.tune.space import Axis

WORST: Rank = (float("inf"),)  # of a trial that failed


@dataclass(frozen=True)
class Trial:
    """One trial."""

    number: int
    # The settings that were searched; empty of trial 0, which has the defaults
    tried: Mapping[str, Any]
    result: Result | None = None  # None of one that failed
    rank: Rank = WORST
    error: str = ""
    is_new: bool = True  # whether it was made now, and not found

    @property
    def order(self) -> tuple[bool, Rank, int]:
        """What comes first is better; of equal ones the earlier, so that the default wins ties."""
        return self.result is None, self.rank, self.number


@dataclass(frozen=True)
class Space:
    """What is searched: settings of a method, on top of those that are fixed."""

    method: Method  # with what is fixed, and defaults: that of trial 0
    given: Mapping[str, Any]  # what of it is fixed
    axes: tuple[Axis, ...]
    seed: int  # of the search and of each unlearning
    count: int  # of trials

    def settings(self, tried: Mapping[str, Any]) -> dict[str, Any]:
        """The settings of a trial that are not the method's defaults."""
        given, kind = dict(self.given), method_class(self.method.name)
        if issubclass(kind, Stopping) and any(tried.get(one) is not None for one in kind.scale):
            given.pop("max_accuracy_drop", None)  # the criterion has it, the method has no use
        return {**given, **tried}

    def made(self, tried: Mapping[str, Any]) -> Method:
        """The method of a trial; UserError if the settings do not go together."""
        return type(self.method).of(self.settings(tried), owner=f"method {self.method.name}")

    def next(self, trials: Sequence[Trial]) -> dict[str, Any]:
        """The settings that are tried after these trials."""
        if not trials:
            return {}
        ranks = sorted({one.order[:2] for one in trials})
        default = self.method.as_dict()
        past = [({**default, **one.tried}, ranks.index(one.order[:2])) for one in trials]
        return suggest(self.axes, self.seed, len(trials), past)


def search(space: Space, judge: Judge, told: Callable[[Trial], None]) -> list[Trial]:
    """All trials, or those up to one that none could beat; each is ``told`` when it is over.

    What was finished before, in this run or in any other, is not made again. A method that fails
    costs its trial, anything else ends the search.
    """
    trials: list[Trial] = []
    for number in range(space.count):
        tried = space.next(trials)
        trials.append(_trial(space, judge, number, tried))
        told(trials[-1])
        if (result := trials[-1].result) and judge.is_met(result.metrics):
            break
    return trials


def _trial(space: Space, judge: Judge, number: int, tried: Mapping[str, Any]) -> Trial:
    try:
        task = UnlearnTask(judge.problem, space.made(tried), space.seed)
        task.method.check(judge.problem.split)
        found = judge.found(task)
        result = found or judge.made(task, f"trial {number}")
    except ProcessDiedError:
        raise
    except UserError as error:
        judge.store.run(judge.parent)  # raises if it is the store that fails
        return Trial(number, tried, error=str(error))
    return Trial(number, tried, result, judge.rank(result.metrics), is_new=found is None)
