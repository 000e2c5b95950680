"""Small plans, and what is true of every plan."""

from __future__ import annotations

from mu.sweep.plan import Plan, PlannedOriginal, make_plan


def small_plan(originals: int = 2, forgets: int = 1, methods: int = 2, seeds: int = 1) -> Plan:
    return make_plan(
        [
            PlannedOriginal(
                f"o{one}", {"seed": one}, {f"class:{n}": f"f{n}" for n in range(forgets)}
            )
            for one in range(originals)
        ],
        [("ft", {"epochs": one}) for one in range(methods)],
        range(seeds),
        {"mask_from": "upstream"},
    )


def needs_come_first(plan: Plan) -> bool:
    seen: set[str] = set()
    for task in plan.tasks:
        if not set(task.needs) <= seen:
            return False
        seen.add(task.key)
    return True
