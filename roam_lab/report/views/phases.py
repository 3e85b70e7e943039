"""Where an order runs forward, backward and update, as bands on its axis."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roam_lab.report.views.axis import Axis
from roam_lab.report.views.places import PHASES, Places

CELLS = 100
"""Cells of the axis; each belongs to the phase that takes most of it."""
MIXED = "backward and update"
"""The phase of cells with backward and updates: an order may update a parameter as soon as its gradient is ready."""
SHARE = 0.1
"""Least fraction of a cell that backward and update must each take for MIXED."""
THINNEST = 3
"""In cells. A shorter band joins the one before it; otherwise orders that mix phases would have very many bands."""
NAMED = 15
"""In cells. Of two neighbouring bands of backward with and without updates, which have one colour, both are at least
so long; otherwise they are joined."""


@dataclass(frozen=True, slots=True)
class PhaseBand:
    """`phase` (one of PHASES, or MIXED) from `left` to `right` on the axis."""

    phase: str
    left: float
    right: float

    @property
    def main(self) -> str:
        """The phase whose colour it is drawn in."""
        return self.phase.partition(" ")[0]


def phase_bands(known: Places, order: Sequence[int], time: Axis) -> tuple[PhaseBand, ...]:
    """Bands from the beginning of the axis to its end, without gaps; none for a graph without ops."""
    if not order:
        return ()
    phase = np.array([known.phase[index] for index in order])
    spent = np.zeros((CELLS, len(PHASES)))
    scaled = time.edges / time.end * CELLS
    for number in range(len(PHASES)):
        done = np.concatenate([[0.0], np.cumsum(np.diff(scaled) * (phase == number))])
        spent[:, number] = np.diff(np.interp(np.arange(CELLS + 1), scaled, done))
    main = spent.argmax(axis=1)
    main[(main > 0) & (spent[:, 1:].min(axis=1) >= SHARE * spent.sum(axis=1))] = len(PHASES)
    names = (*PHASES, MIXED)
    runs: list[list[int]] = []
    for cell, most in enumerate(main.tolist()):
        if runs and runs[-1][0] == most:
            runs[-1][2] = cell + 1
        else:
            runs.append([most, cell, cell + 1])
    joined: list[list[int]] = []
    for number, first, last in runs:
        if joined and (joined[-1][0] == number or last - first < THINNEST):
            joined[-1][2] = last
        else:
            joined.append([number, first, last])
    joined = _without_short(joined)
    return tuple(PhaseBand(names[n], a / CELLS * time.end, b / CELLS * time.end) for n, a, b in joined)


def _without_short(runs: list[list[int]]) -> list[list[int]]:
    """`runs` of [phase, first cell, end]; those of backward and MIXED joined where one is too short for its name."""
    backward, mixed = PHASES.index("backward"), len(PHASES)
    found: list[list[int]] = []
    updating = 0  # cells of the last run in which updates run
    for number, first, last in runs:
        own = last - first if number == mixed else 0
        before = found[-1] if found else [-1, 0, 0]
        if {before[0], number} <= {backward, mixed} and min(last - first, before[2] - before[1]) < NAMED:
            updating += own
            before[2] = last
            before[0] = mixed if 4 * updating >= last - before[1] else backward
        else:
            found.append([number, first, last])
            updating = own
    return found
