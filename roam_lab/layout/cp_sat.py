"""The layout strategy `cp_sat`: offsets by constraint programming, with OR-tools' CP-SAT."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import gcd
from typing import Any

from roam_lab.ir import Layout, Lifetime, lifetimes_curve
from roam_lab.layout.best_fit import best_fit
from roam_lab.layout.llfb import llfb
from roam_lab.layout.packing.overlaps import overlapping_pairs
from roam_lab.registry import Parameter, strategy

MOST_PAIRS = 400_000
"""Above this many pairs of buffers that overlap in time, presolve alone takes minutes."""
_LARGEST = 2**53


@strategy(
    "layout",
    "cp_sat",
    source="OR-tools CP-SAT: rectangles that must not overlap (no-overlap-2D and a cumulative constraint)",
    parameters=(
        Parameter("time_limit", float, 30.0, "seconds after which the best found is kept", low=0),
        Parameter("workers", int, 1, "threads; with more than one, runs differ", low=1, high=64),
        Parameter("seed", int, 0, "of the solver", low=0, high=2**31 - 1),
        Parameter("capacity", int, None, "stop at an arena of this many bytes or fewer (None: the least)", low=0),
    ),
)
def cp_sat(
    lifetimes: tuple[Lifetime, ...],
    time_limit: float | None = 30.0,
    workers: int = 1,
    seed: int = 0,
    capacity: int | None = None,
) -> Layout:
    """Constraint programming: rectangles (time x bytes) are moved in address so that none overlap and the top is low.

    Half the time goes to one question: is there a layout in an arena of the live peak (or of `capacity`)? A tight bound
    on every address makes constraint propagation strongest. If the question stays open, the rest of the time goes to
    minimising the arena, from best fit. A redundant cumulative constraint over addresses says that buffers at one
    address cannot live longer, together, than the step. Sizes are divided by their greatest common divisor.

    Where nothing lower is found in time, best fit is returned; where the model would be too large (more than 400,000
    pairs of buffers overlap in time, or scaled sizes times steps pass 2**53), best fit on the skyline (llfb).
    """
    deadline = None if time_limit is None else time.perf_counter() + time_limit
    target = max(capacity or 0, int(lifetimes_curve(lifetimes).max(initial=0)))
    unit = gcd(*(life.bytes for life in lifetimes))
    steps = max((life.end for life in lifetimes), default=0)
    if overlapping_pairs(lifetimes) > MOST_PAIRS or target // max(unit, 1) * steps > _LARGEST:
        return llfb(lifetimes)
    best = best_fit(lifetimes)
    if best.arena_bytes <= target:
        return best
    model = _Model(lifetimes, unit, workers, seed)
    left = None if deadline is None else deadline - time.perf_counter()
    below = model.solved(target, None, None if left is None else left / 2)
    if below is None:
        left = None if deadline is None else deadline - time.perf_counter()
        below = model.solved(best.arena_bytes, best, left)
    return best if below is None or below.arena_bytes >= best.arena_bytes else below


@dataclass(frozen=True, slots=True)
class _Model:
    """The instance, its sizes in units of `unit` bytes, and the solver's settings."""

    lifetimes: tuple[Lifetime, ...]
    unit: int
    workers: int
    seed: int

    def solved(self, most_bytes: int, hint: Layout | None, seconds: float | None) -> Layout | None:
        """A layout of at most `most_bytes`: any, without `hint`; with one, from which the search begins, the smallest
        found. None where none was found in `seconds`."""
        from ortools.sat.python import cp_model

        if seconds is not None and seconds <= 0:
            return None
        model = cp_model.CpModel()
        top = most_bytes // self.unit
        sized = [life for life in self.lifetimes if life.bytes]
        lows, times, addresses = [], [], []
        for life in sized:
            size, steps = life.bytes // self.unit, life.end - life.start
            lows.append(model.new_int_var(0, top - size, f"low{life.storage}"))
            times.append(model.new_fixed_size_interval_var(life.start, steps, f"time{life.storage}"))
            addresses.append(model.new_fixed_size_interval_var(lows[-1], size, f"addresses{life.storage}"))
        model.add_no_overlap_2d(times, addresses)
        span = max(life.end for life in sized) - min(life.start for life in sized)
        model.add_cumulative(addresses, [life.end - life.start for life in sized], span)
        if hint is not None:
            height = model.new_int_var(int(lifetimes_curve(sized).max()) // self.unit, top, "height")
            for life, low in zip(sized, lows, strict=True):
                model.add(low + life.bytes // self.unit <= height)
                model.add_hint(low, hint.offsets[life.storage] // self.unit)
            model.minimize(height)
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = self.workers
        solver.parameters.random_seed = self.seed
        solver.parameters.catch_sigint_signal = False  # it would end the search and keep the interrupt to itself
        if seconds is not None:
            solver.parameters.max_time_in_seconds = seconds
        if _status(solver, model) not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
            return None
        offsets = {life.storage: 0 for life in self.lifetimes}
        for life, low in zip(sized, lows, strict=True):
            offsets[life.storage] = int(solver.value(low)) * self.unit
        return Layout(offsets, max(offsets[life.storage] + life.bytes for life in sized))


def _status(solver: Any, model: Any) -> Any:
    """Solve in a thread of its own: while the solver runs in the main thread, Python cannot react to an interrupt."""
    with ThreadPoolExecutor(1) as thread:
        try:
            return thread.submit(solver.solve, model).result()
        except BaseException:
            solver.stop_search()
            raise
