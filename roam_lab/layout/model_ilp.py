"""The layout strategy `model_ilp`: offsets by the integer program of MODeL."""

from __future__ import annotations

import time
from collections.abc import Sequence
from math import gcd

import numpy as np

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import SORTINGS
from roam_lab.layout.packing.field import Field
from roam_lab.layout.packing.overlaps import overlapping_pairs, pairs
from roam_lab.layout.skyline import skyline
from roam_lab.registry import Parameter, strategy
from roam_lab.solvers.ilp import SOLVERS, modeller, solve, variable

MOST_PAIRS = 20_000
"""Above this many pairs of buffers that overlap in time no program is built."""


@strategy(
    "layout",
    "model_ilp",
    source="MODeL / OLLA (arXiv 2210.12924): the ILP rival of ROAM; solved through PuLP",
    parameters=(
        Parameter("time_limit", float, 30.0, "seconds after which the best found is kept", low=0),
        Parameter("solver", str, "highs", "who solves the program", choices=SOLVERS),
        Parameter("seed", int, 0, "of the solver", low=0, high=2**31 - 2),
        Parameter("capacity", int, None, "stop at an arena of this many bytes or fewer (None: the least)", low=0),
    ),
)
def model_ilp(
    lifetimes: tuple[Lifetime, ...],
    time_limit: float | None = 30.0,
    solver: str = "highs",
    seed: int = 0,
    capacity: int | None = None,
) -> Layout:
    """MODeL's integer program: an address for each tensor, one "below" binary for each pair alive at once.

    A pyramid is fixed first: the tensor of the longest lifetime lies lowest, the longest that lives within it above,
    and so on; what lives with a block of the pyramid lies above it. The others get integer addresses (in units of
    the sizes' greatest common divisor), two constraints with a big M for each pair, and the live peak as bound.
    It begins from best fit by size around the pyramid, or below the arena of `skyline` where that is lower, as 30
    tensors can cost the solver minutes; where this meets the live peak, there is nothing to solve. Offsets are read
    off the solution by its vertical order, so that the solver's tolerances cannot make two buffers overlap.

    Where more than 20,000 pairs overlap in time, or time is up, no program is solved: the answer is best fit around
    the pyramid, or `skyline` where that is lower. The best found stands when the time limit strikes.
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    target = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    base = pyramid(lifetimes)
    around = _around(lifetimes, base, deadline)
    best = skyline(lifetimes, time_limit=None if time_limit is None else time_limit / 4, capacity=capacity)
    if around is not None and around.arena_bytes <= best.arena_bytes:
        best = around
    if best.arena_bytes <= target or overlapping_pairs(lifetimes) > MOST_PAIRS:
        return best
    solved = _solved(lifetimes, base, best, target, deadline, solver, seed)
    return solved if solved is not None and solved.arena_bytes < best.arena_bytes else best


def pyramid(lifetimes: Sequence[Lifetime]) -> dict[Lifetime, int]:
    """Addresses of MODeL's pyramid: the storage of the longest lifetime lies lowest, on it the one of the longest
    lifetime within the first one's, and so on."""
    base: dict[Lifetime, int] = {}
    begin, end, top = 0, max((life.end for life in lifetimes), default=0), 0
    for life in sorted(lifetimes, key=lambda life: (life.start - life.end, -life.bytes, life.start, life.storage)):
        if life.bytes and begin <= life.start and life.end <= end:
            base[life] = top
            begin, end, top = life.start, life.end, top + life.bytes
    return base


def _around(lifetimes: Sequence[Lifetime], base: dict[Lifetime, int], deadline: float | None) -> Layout | None:
    """The layout of the pyramid with the others by best fit around it, by decreasing size; None if `deadline`
    passed."""
    field = Field.of(lifetimes)
    number = {storage: at for at, storage in enumerate(field.storages.tolist())}
    others = sorted((life for life in lifetimes if life not in base), key=SORTINGS["decreasing size"])
    sequence = np.array([number[life.storage] for life in (*base, *others)], np.int64)
    offsets = field.place_all(sequence, first_fit=False, deadline=deadline)
    return None if offsets is None else field.layout(offsets)


def _solved(
    lifetimes: Sequence[Lifetime],
    base: dict[Lifetime, int],
    start: Layout,
    target: int,
    deadline: float | None,
    solver: str,
    seed: int,
) -> Layout | None:
    """The solver's layout, smaller than `start`; None if it finds none in time. The search begins from `start` where
    the pyramid has the same addresses in it."""
    pulp = modeller()
    unit = gcd(*(life.bytes for life in lifetimes))
    big = start.arena_bytes // unit
    program = pulp.LpProblem("offsets", pulp.LpMinimize)
    arena = variable(program, "arena", -(-target // unit), big, "Integer")
    program += arena
    known = {"arena": float(big)}
    floors = dict.fromkeys((life.storage for life in lifetimes), 0)  # what the pyramid leaves to each
    between = []
    for one, other in pairs(lifetimes):
        for block, above in ((one, other), (other, one)):
            if block in base and above not in base:
                floors[above.storage] = max(floors[above.storage], base[block] + block.bytes)
        if one not in base and other not in base:
            between.append((one, other))
    address = {}
    for life in lifetimes:
        if life not in base:
            low = address[life.storage] = variable(
                program, f"low{life.storage}", floors[life.storage] // unit, big, "Integer"
            )
            program += low + life.bytes // unit <= arena
            known[low.name] = start.offsets[life.storage] / unit
    for one, other in between:
        if deadline is not None and time.perf_counter() >= deadline:
            return None
        low, high = address[one.storage], address[other.storage]
        below = variable(program, f"below{one.storage}_{other.storage}", 0, 1, "Integer")
        program += low + one.bytes // unit <= high + big * (1 - below)
        program += high + other.bytes // unit <= low + big * below
        known[below.name] = float(start.offsets[one.storage] < start.offsets[other.storage])
    left = None if deadline is None else deadline - time.perf_counter()
    fits = all(start.offsets[life.storage] == low for life, low in base.items())
    solved = solve(program, solver, left, known if fits else None, seed)
    if not solved.values:
        return None
    levels = {storage: solved.values[low.name] for storage, low in address.items()}
    return _stacked(lifetimes, base, levels)


def _stacked(lifetimes: Sequence[Lifetime], base: dict[Lifetime, int], levels: dict[int, float]) -> Layout:
    """The layout of `base` and the other buffers, placed by ascending level, each directly above all that are placed
    already and live with it."""
    field = Field.of(lifetimes)
    tops = np.zeros(len(field.sizes), np.int64)
    number = {storage: at for at, storage in enumerate(field.storages.tolist())}
    others = sorted(
        (life for life in lifetimes if life not in base), key=lambda life: (levels[life.storage], life.storage)
    )
    offsets = {}
    for life in (*base, *others):
        at = number[life.storage]
        together = (field.starts < life.end) & (field.ends > life.start)
        offsets[life.storage] = int(tops[together].max(initial=0))
        tops[at] = offsets[life.storage] + life.bytes
    return Layout(offsets, int(tops.max(initial=0)))
