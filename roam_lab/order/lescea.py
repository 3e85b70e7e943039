"""LESCEA, as we read it: the greedy order that ROAM names as its heuristic rival."""

from __future__ import annotations

from roam_lab.ir import Graph, Order
from roam_lab.order.list_scheduling import KEYS, schedule
from roam_lab.order.problem import problem_of
from roam_lab.registry import strategy


@strategy("order", "lescea", source="ROAM's heuristic rival (arXiv 2310.19295), as we read it")
def lescea(graph: Graph) -> Order:
    """List scheduling by least extra memory: a rival, in our reading of it.

    Takes the ready op for which (bytes allocated - bytes freed) is least; ties go to captured order. No published
    pseudo-code was found, so this is a reading of its name and of ROAM's description.
    """
    problem = problem_of(graph)
    return tuple(schedule(problem, KEYS["net"], range(len(problem))))
