"""ROAM: a tree of small tasks, each solved by itself, joined to one order."""

from __future__ import annotations

import time

from roam_lab.ir import Graph, captured_order
from roam_lab.order.effort import Effort
from roam_lab.order.outcome import Outcome
from roam_lab.order.problem import problem_of
from roam_lab.order.reduce.jobs import ops_of
from roam_lab.order.reduce.reduced import reduced
from roam_lab.order.task_tree.first_order import first_order
from roam_lab.order.task_tree.grow import grown, moves
from roam_lab.order.task_tree.leaf import Limits
from roam_lab.order.task_tree.segments import backbone
from roam_lab.order.task_tree.split import tree_of
from roam_lab.order.task_tree.workers import processors, solve_leaves
from roam_lab.registry import Parameter, strategy
from roam_lab.solvers.ilp import SOLVERS

PARAMETERS = (
    Parameter("node_limit", int, 128, "most ops that one leaf of the tree runs", low=8, high=1024),
    Parameter("solver", str, "highs", "what solves the leaves' integer programs", choices=SOLVERS),
    Parameter("time_limit", float, None, "seconds for all of it (None: limits of effort only)", low=0),
    Parameter("leaf_nodes", int, 200, "search nodes that the solver may take for one leaf", low=0),
    Parameter("leaf_seconds", float, 10.0, "seconds for one leaf: the backstop of leaf_nodes", low=0),
    Parameter("leaves", str, "needed", "solve by integer program: where needed, or all", choices=("needed", "all")),
    Parameter("workers", int, 0, "processes that solve leaves (0: one for each processor)", low=0, high=1024),
)

JOBS_A_LEAF = 8
"""How many of the largest jobs fit into a leaf: larger jobs would hide the segments that the tree is made of."""


@strategy("order", "roam", source="ROAM (Shu et al., arXiv 2310.19295), in our reading", parameters=PARAMETERS)
def roam(
    graph: Graph,
    node_limit: int = 128,
    solver: str = "highs",
    time_limit: float | None = None,
    leaf_nodes: int = 200,
    leaf_seconds: float = 10.0,
    leaves: str = "needed",
    workers: int = 0,
) -> Outcome:
    """A tree of small tasks: segments between ops whose place is fixed, updates put back by memory, leaves by ILP.

    | step                                           | where                                                    |
    |------------------------------------------------|----------------------------------------------------------|
    | reduce the problem: jobs in place of ops       | reduce/ (ours)                                           |
    | take weight updates out, find segments         | task_tree/segments.py (and ours: floating branches)      |
    | put updates back, op by op, by memory          | task_tree/updates.py                                     |
    | split until each leaf runs `node_limit` or less | task_tree/split.py: at local cut points or cheap states |
    | solve leaves, side by side                     | task_tree/leaf.py: certificates, cuts, integer program   |

    Where the peak lies above the proven bound, the order is first made to pass through the cheapest states of its peak
    (order/improve.py). Counts live bytes of all storages, external ones too. Never worse than captured. Depends on the
    graph and the parameters only, unless `time_limit` or `leaf_seconds` ends a search.
    """
    ends = None if time_limit is None else time.perf_counter() + time_limit
    deadline = None if time_limit is None else time.time() + time_limit
    whole = problem_of(graph)
    if ends is not None and time.perf_counter() >= ends:
        return Outcome(
            captured_order(graph), timed_out=True, note=f"{time_limit:g} s were over before any search began"
        )
    left = reduced(whole, Effort(0), max(1, node_limit // JOBS_A_LEAF))
    known = {op for op, info in enumerate(graph.ops) if info.phase == "update"}
    updates = sorted(set(range(len(whole))).difference(backbone(whole, known)))
    known_jobs = [number for number, job in enumerate(left.jobs) if known.issuperset(ops_of([job]))]
    first = first_order(left.problem, known_jobs, ends)
    if first.timed_out:
        note = f"no tree of tasks: {time_limit:g} s were over before it was grown"
        return Outcome(tuple(left.order(first.run)), timed_out=True, note=note)
    weights = list(map(len, left.expand([job] for job in first.run)))
    step = tree_of(left.problem, first.run, weights, first.bounds, node_limit)
    nodes = step.leaves()
    limits = Limits(solver, leaf_nodes, leaf_seconds, deadline, leaves == "all")
    problems = left.problem.stretches(first.run, [0, *(node.high for node in nodes)])
    solved = solve_leaves(problems, first.floor_bytes, limits, workers or processors())
    ops = left.expand(
        [first.run[node.low + job] for job in leaf.order] for node, leaf in zip(nodes, solved, strict=True)
    )
    tasks = grown(step, ops, solved, whole, moves(whole, updates, ops, step), node_limit)
    return Outcome(
        order=tasks.ops,
        lower_bound_bytes=solved[0].bound_bytes if len(solved) == 1 and solved[0].solver == "ilp" else 0,
        timed_out=first.timed_out or tasks.status == "timed out",
        tasks=tasks,
    )
