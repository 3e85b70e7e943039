"""Before stage 4: capture and plan, in a process of its own, so that its memory is in no figure."""

from __future__ import annotations

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.models import training


def run(cell: Cell) -> None:
    """One part: what the plan says, and the simulator's figure of the eager step."""
    with cell.part("plan") as line:
        carried = plans.known(cell, cell.name)
        line |= plans.make(cell, cell.name, training(cell.settings)) if carried is None else carried
        line["carried"] = carried is not None
