"""Local search over the sequence that `skyline` places by: some buffers move in it, and all are placed anew."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS
from roam_lab.layout.packing.skyline import Array, Skyline

RULES = ("decreasing lifetime", "decreasing size", "decreasing area", "start")
_CLIMBERS = 4
_TURN = 50
_MOVED = 1 / 20


@dataclass(slots=True)
class _Climber:
    """One state of the local search: a sequence, whether it is placed with `walls` (see `Skyline.lay`), and the size of
    the arena that results."""

    sequence: Array
    walls: bool
    arena_bytes: int


def climbed(
    lifetimes: Sequence[Lifetime],
    layout: Layout,
    effort: int,
    deadline: float | None = None,
    seed: int = 0,
    target_bytes: int = 0,
) -> Layout:
    """A smaller layout than `layout` if best fit on the skyline finds one, else `layout`.

    It begins with eight rules for which buffer goes first (see the strategy `skyline`). The four that lead to the
    smallest arenas are then improved by turns, 50 steps each: one buffer in twenty moves to a random place in the
    sequence, all are placed anew, and the sequence is kept if the arena is no larger.

    `effort`: how many buffers may be placed in all (about a microsecond each, compiled); counted, so that the result
    does not depend on the machine. The first rule is tried whatever the effort. `deadline`: when to stop whatever the
    count (time.perf_counter; None: no limit). `target_bytes`: stop at an arena of this many bytes or fewer; it always
    stops at the live peak.
    """
    target = max(target_bytes, int(lifetimes_curve(lifetimes).max(initial=0)))
    line, random = Skyline(lifetimes), np.random.default_rng(seed)
    best, best_bytes = None, layout.arena_bytes
    climbers: list[_Climber] = []
    step = 0
    while best_bytes > target and (effort > 0 or not step) and (deadline is None or time.perf_counter() < deadline):
        climber = None
        if step < 2 * len(RULES):
            sequence, walls = line.ranked(SORTINGS[RULES[step // 2]]), step % 2 == 0
        else:
            climber = climbers[(step - 2 * len(RULES)) // _TURN % len(climbers)]
            sequence, walls = _moved(climber.sequence, random), climber.walls
        step += 1
        effort -= len(sequence)
        offsets = line.lay(sequence, walls, deadline)
        if offsets is None:
            break
        arena_bytes = int((offsets + line.sizes).max(initial=0))
        if arena_bytes < best_bytes:
            best, best_bytes = offsets, arena_bytes
        if climber is None:
            climbers.append(_Climber(sequence, walls, arena_bytes))
            if step == 2 * len(RULES):
                climbers = sorted(climbers, key=lambda climber: climber.arena_bytes)[:_CLIMBERS]
        elif arena_bytes <= climber.arena_bytes:
            climber.sequence, climber.arena_bytes = sequence, arena_bytes
    return layout if best is None else line.layout(best)


def _moved(sequence: Array, random: np.random.Generator) -> Array:
    """The sequence after some buffers, at least one, have moved to random places in it."""
    places = np.arange(len(sequence), dtype=float)
    moves = random.random(len(sequence)) < _MOVED
    moves[random.integers(len(sequence))] = True
    places[moves] = random.random(int(moves.sum())) * len(sequence)
    return sequence[np.argsort(places, kind="stable")]
