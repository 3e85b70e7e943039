"""Proofs of how far a rewriting can be from the best: a lower bound of memory at its extra time, and of extra time at
its memory."""

from __future__ import annotations

from roam_lab.ir.graph import Graph
from roam_lab.rewrite.aim import first_instant
from roam_lab.rewrite.bound import RewriteBound, least_bytes
from roam_lab.rewrite.explorer import Explorer
from roam_lab.rewrite.points import Goals
from roam_lab.rewrite.save_set import fastest_set, least_us, smallest_set
from roam_lab.rewrite.tape import problem_of


def rewrite_bound(graph: Graph, goals: Goals, peak_bytes: int, extra_time: float) -> RewriteBound:
    """The bounds for a rewriting with that live peak and extra time, over all rewritings of the kinds and the order of
    `goals`.

    The relaxation looks at one instant alone: each storage that is needed after it is saved across it, or made again
    after it (save_set.py). Where no instant has needs that are the same in every rewriting, only the bytes that each op
    reads and creates are proven.
    """
    least = min(least_bytes(graph, goals.kinds), peak_bytes)
    if "offload" in goals.kinds:  # what one instant must save can lie on the host
        return RewriteBound(least, 0.0)
    explorer = Explorer(problem_of(graph, goals.kinds, goals.order))
    problem = explorer.problem
    instant = first_instant(explorer, problem.start)
    if not instant.exact or not problem.base_us:
        return RewriteBound(least, 0.0)
    scale = max(peak_bytes, explorer.see(problem.start).peak)
    paid = least_us(problem)
    us = problem.base_us * (1 + extra_time + 1e-9)
    small = smallest_set(problem, [instant], max(0.0, us - paid), scale)
    fast = fastest_set(problem, [instant], peak_bytes, relaxed=True)
    proven = max(least, int(small.bound) - small.slack) if small is not None else least
    extra = (paid + fast.bound) / problem.base_us - 1 if fast is not None else 0.0
    return RewriteBound(min(proven, peak_bytes), round(min(max(extra, 0.0), max(extra_time, 0.0)), 9))
