"""The text about one step of a planned order. `figures/cursor.py` has the same in JavaScript."""

from __future__ import annotations

from roam_lab.report.units import bytes_text
from roam_lab.report.views.places import PHASES
from roam_lab.report.views.tensors import Tensors


def step_text(known: Tensors, step: int) -> str:
    """ "step 3 of 20 · addmm_1 · h.0.mlp · forward · 1.5 MiB alive"; steps counted from 0 here, from 1 in words."""
    if not known.order:
        return "no step: the graph has no ops"
    index = known.order[step]
    place = (known.graph.ops[index].name, known.places.module[index], PHASES[known.places.phase[index]])
    where = " · ".join(part for part in place if part)
    return f"step {step + 1:,} of {len(known.order):,} · {where} · {bytes_text(int(known.live_bytes[step]))} alive"
