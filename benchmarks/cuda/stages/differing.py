"""After a difference in stage 2 or 3: where an operator differs (alignments, sizes), which one differs in a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.first_difference import first_difference
from benchmarks.cuda.single_ops import calls
from benchmarks.cuda.stages.bits import looked_into
from benchmarks.cuda.stages.identity import made

ALIGNMENTS = (16, 32, 64, 128, 256, 512, 1024, 4096)


def run(cell: Cell) -> None:
    """Parts: of an operator, one a size; of a model, the first operator that differs."""
    settings = cell.settings
    if "op" in settings:
        for scale in {settings["scale"], 0}:
            name = "large" if scale else "small"
            if cell.wanted(name):
                with cell.part(name) as line:
                    line |= looked_into(settings["op"], calls(scale)[settings["op"]], cell.fake, ALIGNMENTS)
    else:
        with cell.part("first difference") as line:
            line |= _first(cell, settings["kind"], settings["name"])


def _first(cell: Cell, kind: str, name: str) -> dict[str, Any]:
    def planned() -> Callable[[], Any]:
        return plans.planned_step(cell, f"zoo_{kind}_{name}", made(kind, name))

    return first_difference(lambda: made(kind, name).run, planned, cell.fake)
