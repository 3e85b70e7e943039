"""Stage 5: milliseconds a step without deterministic algorithms, by events and by the wall, and kernel launches."""

from __future__ import annotations

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import launches, times
from benchmarks.cuda.jobs import name_of
from benchmarks.cuda.models import training

STEPS = 20


def run(cell: Cell) -> None:
    """Parts: times, launches."""
    made, step = training(cell.settings), None
    with cell.part("times") as line:
        step = made.run
        if cell.settings["method"] == "planned":
            hooked, line["plan"] = plans.hooked(cell, name_of(cell.settings), made)
            step = lambda: hooked(made.batch)  # noqa: E731
        line |= times(step, STEPS)
    with cell.part("launches") as line:
        assert step is not None
        line["launches"] = launches(step)
