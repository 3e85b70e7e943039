"""The rewrite strategy `checkpoint`: whole repeated blocks of the model recomputed, as `torch.utils.checkpoint`
does."""

from __future__ import annotations

from collections.abc import Iterable
from math import isqrt

from roam_lab.ir.graph import Graph
from roam_lab.registry import strategy
from roam_lab.rewrite.explorer import Explorer, State
from roam_lab.rewrite.points import Found, Goals, Point, points_of
from roam_lab.rewrite.segments import forward_end, handed_on, segments
from roam_lab.rewrite.tape import HOLD, Ints, problem_of


@strategy("rewrite", "checkpoint", source="Chen et al., arXiv 1604.06174; torch.utils.checkpoint on every block")
def checkpoint(graph: Graph, goals: Goals) -> Found:
    """Every block recomputed before its backward pass, every second one, or segments of about their square root."""
    explorer = Explorer(problem_of(graph, goals.kinds, goals.order))
    explorer.see(explorer.problem.start)
    for level in explorer.roles.levels:
        count = int(level.max()) + 1
        for length in sorted({1, 2, max(1, isqrt(count))}):
            explorer.see(_segments(explorer, level, length, every=1))
        explorer.see(_segments(explorer, level, 1, every=2))
    return Found(points_of(explorer, "checkpoint"))


def every_block(graph: Graph, kinds: Iterable[str] = ("recompute",)) -> Point | None:
    """The point at which every block is recomputed and nothing else is rewritten, `kinds` apart: what a user gets from
    `torch.utils.checkpoint` without a planner. None where the graph has no repeated blocks whose results could be made
    again, or where such a rewriting cannot be run."""
    explorer = Explorer(problem_of(graph, kinds))
    if not explorer.roles.levels:
        return None
    state = _segments(explorer, explorer.roles.levels[0], 1, every=1)
    if (state == explorer.problem.start).all():
        return None
    explorer.see(state)
    return next(iter(points_of(explorer, "checkpoint")), None)


def _segments(explorer: Explorer, level: Ints, length: int, every: int) -> State:
    """A state for groups of `length` neighbouring blocks of `level` (see Roles). In one of `every` groups it drops each
    storage that the group makes and that no other group uses in the forward pass. A storage made again stays to its
    last use (HOLD)."""
    problem = explorer.problem
    tape = problem.tape
    state = problem.start.copy()
    segment = segments(problem, level, length)
    crossing = handed_on(problem, segment)
    end = forward_end(problem)
    for gap in problem.free_gaps.tolist():
        storage = int(explorer.gap_storage[gap])
        mine = segment[tape.creator[storage]]
        if mine < 0 or storage in crossing or mine % every or tape.gap_instruction[gap] > end:
            continue
        last = gap == tape.gap_at[storage + 1] - 1
        if last or tape.gap_instruction[gap + 1] > end:
            state[gap] = HOLD
    return state
