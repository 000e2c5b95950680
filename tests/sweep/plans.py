"""Small plans, and what is true of every plan."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mu.tasks.sweep.plan import Plan, PlannedOriginal, Task, make_plan


def planned(key: str, settings: Mapping[str, Any], forget_sets: Mapping[str, str]):
    """An original of which nothing needs its recipe."""
    return PlannedOriginal(key, settings, forget_sets, spec=None, retained={})


def small_plan(originals: int = 2, forgets: int = 1, methods: int = 2, seeds: int = 1) -> Plan:
    sets = {f"class:{n}": f"f{n}" for n in range(forgets)}
    return make_plan(
        [planned(f"o{one}", {"seed": one}, sets) for one in range(originals)],
        [("ft", {"epochs": one}) for one in range(methods)],
        range(seeds),
        {"mask_from": "upstream"},
    )


def needs_come_first(plan: Plan) -> bool:
    seen: set[str] = set()
    for task in plan:
        if not set(task.needs) <= seen:
            return False
        seen.add(task.key)
    return True


def of_kind(plan: Plan, kind: str) -> list[Task]:
    return [task for task in plan if task.kind == kind]
