"""Rewritten plans: a graph rewritten for a budget or an extra time, and laid out."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any

from roam_lab.errors import InfeasibleError, JudgementError
from roam_lab.ir import Graph, Layout, Order, Rewritten, captured_order, check_rewritten, live_peak
from roam_lab.ir.rewritten import repeated
from roam_lab.ir.roofline import GPUS, with_roofline
from roam_lab.order.bound import lower_bound
from roam_lab.plan.plan import Plan, Rewrite
from roam_lab.plan.planner import lay_out
from roam_lab.plan.savings import savings_of
from roam_lab.registry import Strategy, find
from roam_lab.rewrite.base_order import with_early_updates
from roam_lab.rewrite.free import free_peak
from roam_lab.rewrite.frontier import found
from roam_lab.rewrite.kinds import FREE, checked_kinds
from roam_lab.rewrite.points import Goals, Point
from roam_lab.rewrite.proof import rewrite_bound

CLOSE = 1.004
"""An arena of at most this many times the live peak is good enough."""
BEYOND = 0.98
"""Where no layout of the rewritings that just meet a budget fits into it, this fraction of the budget is aimed at."""
MOST_EXTRA_TIME = 2.0
"""The extra time (a fraction of the step's time) at which the least memory is looked for."""
UNTIMED = "a100"
"""The GPU (a name in `ir/roofline.py`) by whose rates the ops of a graph without times are costed."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A rewriting with its order, live peak (bytes) and layout."""

    rewritten: Rewritten
    order: Order
    peak_bytes: int
    layout: Layout


@dataclass(frozen=True, slots=True)
class Placing:
    """How rewritten graphs are laid out: the layout strategy, its parameters, alignment in bytes, device type."""

    layout: Strategy
    parameters: Mapping[str, Any]
    alignment: int = 64
    device: str = "cpu"

    def place(self, rewritten: Rewritten) -> Placed:
        """Lay out `rewritten` in the order in which its ops stand, which is the one that its live peak is known for."""
        graph = rewritten.graph
        order = captured_order(graph)
        peak = live_peak(graph, order).bytes
        declared = {parameter.name for parameter in self.layout.parameters}
        enough = {"capacity": int(peak * CLOSE)} if "capacity" in declared else {}
        placed = lay_out(graph, order, self.layout, {**self.parameters, **enough}, self.alignment, self.device)
        return Placed(rewritten, order, peak, placed)


def place(rewritten: Rewritten, layout: str = "auto", alignment: int = 64, device: str = "cpu") -> Placed:
    """Lay out `rewritten` by the layout strategy of that name."""
    strategy = find("layout", layout)
    return Placing(strategy, strategy.accept({}), alignment, device).place(rewritten)


def rewritten_plan(
    graph: Graph,
    plan: Plan,
    placing: Placing,
    *,
    budget: int | None,
    extra_time: float | None,
    kinds: Collection[str],
    strategy: str,
    parameters: Mapping[str, Any],
) -> Plan:
    """A rewritten plan of `graph` in these `kinds`: with a `budget`, the fastest known whose arena and resident bytes
    together fit into it; without, the one of the smallest arena known that adds at most `extra_time` (`plan`, the best
    one without rewriting, where none is smaller).

    Where a rewriting may cost time, ops without times are costed by the rates of UNTIMED, and the plan says so. Raises
    InfeasibleError naming the least memory that is known to suffice; FormatError for a roam-graph/1.
    """
    began = time.perf_counter()
    allowed = checked_kinds(kinds)
    if budget is None and not extra_time:
        allowed &= frozenset((*FREE, "offload"))
    costly = not allowed <= frozenset(FREE)
    timed = costed(graph) if costly else graph
    if not costly:
        strategy = "free"  # there is nothing to choose
    room = None if budget is None else budget - graph.resident_bytes
    start, otherwise = _starts(timed, allowed, plan.order, costly, room)
    if budget is None:
        goals = Goals((extra_time or 0.0,), kinds=allowed, order=start)
        point = found(timed, goals, strategy, parameters if costly else {}).at_most(extra_time or 0.0)
        if otherwise is not None and (point is None or otherwise < point.peak_bytes):
            start, goals = plan.order, replace(goals, order=plan.order)
            point = found(timed, goals, strategy, parameters).at_most(extra_time or 0.0)
        placed = None if point is None else placing.place(judged(timed, point, strategy))
        if point is None or placed is None or placed.layout.arena_bytes >= plan.arena_bytes:
            return plan
    else:
        goals = Goals(kinds=allowed, order=start)
        point, placed = _within(timed, placing, goals, budget, extra_time, strategy, parameters)
    rewrites = rewrites_of(placed.rewritten)
    if not rewrites:
        return plan
    proof = lower_bound(placed.rewritten.graph, placed.order)
    share = 1.0 if timed.device is None else timed.device.fused_share
    noted = {"times": timed.times or "of the graph", "fused_share": f"{share:g}"}
    return replace(
        plan,
        order=placed.order,
        offsets=dict(placed.layout.offsets),
        arena_bytes=placed.layout.arena_bytes,
        peak_bytes=placed.peak_bytes,
        lower_bound_bytes=proof.bytes,
        optimal=proof.bytes == placed.peak_bytes,
        status="optimal" if proof.bytes == placed.peak_bytes else "feasible",
        certificate=proof,
        order_strategy=plan.order_strategy if start is not None else "auto",
        seconds=plan.seconds + time.perf_counter() - began,
        environment={**plan.environment, **noted} if costly else plan.environment,
        graph=placed.rewritten.graph,
        rewrites=rewrites,
        origins=placed.rewritten.origins,
        rewrite_strategy=strategy,
        extra_time=point.extra_time,
        savings=savings_of(timed, plan.captured_peak_bytes, placed.peak_bytes, point.extra_time, rewrites, start),
        rewrite_bound=rewrite_bound(timed, goals, placed.peak_bytes, point.extra_time) if costly else None,
        tasks=None,
    )


def _starts(
    graph: Graph, kinds: frozenset[str], order: Order, costly: bool, room: int | None
) -> tuple[Order | None, int | None]:
    """The order to rewrite from (None: rewriting's own), and the live peak that what is free leaves of the plan's own
    order, where that is lower, so that rewriting from the other has to do better.

    What is free is done on the better of both orders. Where ops may run twice, updates run early: an order that leaves
    gradients lying under a high peak of activations would keep them there when the activations are gone.
    """
    orders: tuple[Order | None, ...] = (None, with_early_updates(graph, order)) if costly else (None, order)
    peaks = [free_peak(graph, kinds, one) for one in orders]
    start = orders[peaks[1] < peaks[0]]
    own = free_peak(graph, kinds, order) if costly else min(peaks)
    if own >= min(peaks):
        return start, None
    return (order, None) if room is not None and own <= room else (start, own)


def costed(graph: Graph) -> Graph:
    """`graph`, costed by the rates of UNTIMED if its ops have no times."""
    return graph if any(op.time_us for op in graph.ops) else with_roofline(graph, GPUS[UNTIMED])


def _within(
    graph: Graph,
    placing: Placing,
    goals: Goals,
    budget: int,
    extra_time: float | None,
    strategy: str,
    parameters: Mapping[str, Any],
) -> tuple[Point, Placed]:
    """The fastest point known whose arena and residents fit into `budget`, and its layout. Raises InfeasibleError."""
    room = budget - graph.resident_bytes
    # the layouts of points whose live peak just meets the budget may all be too large; then lower peaks are tried, too
    for more in (
        replace(goals, budgets=(max(room, 0),)),
        replace(goals, budgets=(max(int(room * BEYOND), 0),)),
        replace(goals, extra_times=(MOST_EXTRA_TIME,)),
    ):
        known = found(graph, more, strategy, parameters)
        for point in known.points:
            if point.peak_bytes > room:
                continue
            placed = placing.place(judged(graph, point, strategy))
            if placed.layout.arena_bytes > room:
                continue
            if extra_time is not None and point.extra_time > extra_time + 1e-9:
                raise InfeasibleError(
                    f"{graph.name}: to fit {budget} bytes takes {point.extra_time:.1%} more time, the least known; "
                    f"allow more than {extra_time:.1%}, or raise the budget"
                )
            return point, placed
    least = known.points[-1]
    whole = graph.resident_bytes + placing.place(least.rewritten()).layout.arena_bytes
    raise InfeasibleError(
        f"{graph.name}: {budget} bytes are too few for the whole step: the least known to do is {whole} bytes "
        f"({graph.resident_bytes} of them resident), at {least.extra_time:.1%} more time; raise the budget, or make "
        "the batch smaller"
    )


def judged(graph: Graph, point: Point, strategy: str) -> Rewritten:
    """What `point` makes of `graph`, once the judge has run it on paper. Raises JudgementError naming the strategy."""
    with find("rewrite", strategy).judged():
        made = point.rewritten()
        if not isinstance(made, Rewritten):
            raise JudgementError(f"its point makes {type(made).__name__}, not Rewritten")
        order = captured_order(made.graph)
        check_rewritten(graph, made, order)
        peak = live_peak(made.graph, order).bytes
        if peak > point.peak_bytes:
            raise JudgementError(f"it promised a live peak of {point.peak_bytes} bytes, and it is {peak}")
    return made


def rewrites_of(rewritten: Rewritten) -> tuple[Rewrite, ...]:
    """The rewrites that were made, by op of the rewritten graph."""
    made: list[Rewrite] = []
    again = repeated(rewritten.origins)
    for index, (op, origin) in enumerate(zip(rewritten.graph.ops, rewritten.origins, strict=True)):
        if origin.copies is not None:
            made.append(Rewrite("offload", index))
        if len(origin.ops) > 1:
            made.append(Rewrite("fuse", index))
        if any(place is not None and place not in op.creates for place in origin.results):
            made.append(Rewrite("in_place", index))
        if index in again:
            made.append(Rewrite("recompute", index))
    return tuple(made)
