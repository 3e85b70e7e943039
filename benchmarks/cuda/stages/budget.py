"""Stage 7: steps planned for a budget: what extra time, and copies to the host, spare of the device's memory.

The plan is made here, by the hook, which holds its first step against the eager one, bit for bit.
"""

from __future__ import annotations

from typing import Any

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NO_BITS, NotPossible, peaks, start_measuring, times
from benchmarks.cuda.models import training
from roam_lab.errors import InfeasibleError
from roam_lab.plan import Plan, Profile
from roam_lab.runtime import hook

STEPS = 10
OFFLOADED = 0.9
"""Of the arena without a budget: what copies to the host have to bring it down to."""


def run(cell: Cell) -> None:
    """One part, called as the budget."""
    with cell.part(cell.settings["budget"]) as line:
        made = training(cell.settings)
        profile = plans.captured(made, cell.name)
        plan = _plan(profile, cell.settings["budget"])
        step = hook(plan, made.model, made.optimizer, step=made.step, on_mismatch="error",
                    check="never" if cell.fake else "first")  # fmt: skip
        step.prepare(made.batch)
        start_measuring()
        for _ in range(STEPS):
            step(made.batch)
        line |= peaks()
        line |= {"planned_steps": step.planned_steps, "eager_steps": step.eager_steps, "reasons": step.reasons}
        line |= {"arena_bytes": plan.arena_bytes, "extra_time": plan.extra_time, "notes": list(step.notes)}
        line["rewrites"] = {kind: sum(one.kind == kind for one in plan.rewrites)
                            for kind in sorted({one.kind for one in plan.rewrites})}  # fmt: skip
        line |= {"identical": None, "bits": NO_BITS} if cell.fake else {"identical": step.eager_steps == 0}
        if line["identical"] is False:
            line["status"] = "differs"
        line |= times(lambda: step(made.batch), STEPS)


def _plan(profile: Profile, budget: str) -> Plan:
    """Raises NotPossible where no plan is that small."""
    if budget != "offload":
        return profile.plan(**_EXTRA[budget])
    free = profile.plan()
    most = profile.resident_bytes + int(OFFLOADED * free.arena_bytes)
    try:
        return profile.plan(budget=most, rewrites=("in_place", "fuse", "offload"))
    except InfeasibleError as error:
        raise NotPossible(str(error)) from None


_EXTRA: dict[str, dict[str, Any]] = {"free": {}, "+5 %": {"extra_time": 0.05}, "+25 %": {"extra_time": 0.25}}
