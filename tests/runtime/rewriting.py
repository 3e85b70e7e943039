"""Random rewritings of a captured step, as plans."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from roam_lab.ir import Device, Graph, Rewritten, captured_order, check_rewritten, fingerprint, live_peak
from roam_lab.plan import Plan
from roam_lab.plan.rewriting import Placed, place, rewrites_of
from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.expand import expand
from roam_lab.rewrite.kinds import KINDS
from roam_lab.rewrite.tape import problem_of
from roam_lab.rewrite.trace import new_trace


def chains_pay(graph: Graph) -> Graph:
    """On a device where a fused op takes less time than its parts, so that every chain stays one."""
    device = graph.device or Device(1e13, 1e12, 1.0, 2**25, 1e10)
    return replace(graph, device=replace(device, fused_share=0.5))


def random_rewriting(graph: Graph, seed: int, kinds: tuple[str, ...] = KINDS) -> Rewritten:
    """Some gaps between the uses of some storages bridged by running their ops again."""
    problem, draw = problem_of(chains_pay(graph), kinds), np.random.default_rng(seed)
    state, trace = problem.start.copy(), new_trace(problem)
    gaps = draw.permutation(problem.free_gaps)
    for gap in gaps[: int(len(gaps) * draw.random())]:
        before, state[gap] = state[gap], draw.integers(1, 3)
        if not evaluate(problem, state, trace).possible:
            state[gap] = before
    return expand(problem, state)


def plan_of(graph: Graph, rewritten: Rewritten, placed: Placed | None = None) -> Plan:
    """In the order in which its ops stand."""
    placed = placed or place(rewritten)
    check_rewritten(graph, rewritten, placed.order)
    return Plan(
        graph_sha256=fingerprint(graph),
        order=placed.order,
        offsets=dict(placed.layout.offsets),
        arena_bytes=placed.layout.arena_bytes,
        peak_bytes=placed.peak_bytes,
        lower_bound_bytes=0,
        captured_peak_bytes=live_peak(graph, captured_order(graph)).bytes,
        optimal=False,
        order_strategy="captured",
        layout_strategy="auto",
        seconds=0.0,
        environment={"torch": torch.__version__},
        graph=rewritten.graph,
        rewrites=rewrites_of(rewritten),
        origins=rewritten.origins,
        rewrite_strategy="random",
    )
