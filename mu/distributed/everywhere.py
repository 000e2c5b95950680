"""Marks verbs that work on all devices of a run."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
Result = TypeVar("Result")


def everywhere(verb: Callable[P, Result]) -> Callable[P, Result]:
    """Let a function with an argument ``run`` work on all devices of that run.

    On one, it is called as it is. On several, each rank calls it with a run of its own, and the
    first rank's result is returned, its tensors on the CPU; what it logs, notes and keeps goes to
    the ``run`` and the ``keeper`` that were given here. Other arguments are copied to the ranks, so
    what is edited in place must be part of the result, too.
    """
    signature = inspect.signature(verb)

    @functools.wraps(verb)
    def called(*args: P.args, **kwargs: P.kwargs) -> Result:
        given = signature.bind(*args, **kwargs).arguments
        run = given["run"]
        if run.devices == 1:
            return verb(*args, **kwargs)
        from mu.distributed.team import team_of  # not needed elsewhere

        rest = {name: value for name, value in given.items() if name not in ("run", "keeper")}
        result: Result = team_of(run).call(called, rest, run, given.get("keeper"))
        return result

    return called
