"""What a graph can be rewritten into: memory against time, laid out."""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from roam_lab.ir import Graph, captured_order, fingerprint, live_peak
from roam_lab.ir.files import write_text
from roam_lab.plan.alternatives import Alternative, alternatives
from roam_lab.plan.plan import Plan
from roam_lab.plan.planner import ALIGNMENTS, make_plan
from roam_lab.plan.profile import Profile
from roam_lab.plan.rewriting import Placing, costed
from roam_lab.plan.whole_step import eager_whole_bytes
from roam_lab.registry import find
from roam_lab.rewrite.bound import RewriteBound
from roam_lab.rewrite.checkpoint import every_block
from roam_lab.rewrite.frontier import frontier
from roam_lab.rewrite.kinds import default_kinds
from roam_lab.rewrite.points import Goals, Point
from roam_lab.rewrite.proof import rewrite_bound

MOST_BOUNDS = 5


@dataclass(frozen=True, slots=True)
class LaidOutPoint:
    """One rewriting: the time that it adds, as a fraction of the ops' time before; bytes of its arena and live peak;
    how many ops run again, and the bytes that are moved to the host."""

    extra_time: float
    arena_bytes: int
    peak_bytes: int
    recomputed: int
    offloaded_bytes: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """Points of the graph `name` by ascending extra time, none dominated; the first is the plan that `roam plan` makes
    where no time may be added. `times`: what ops were costed by.

    `strategy`: the rewrite strategy that was asked. `checkpointed`: every block recomputed, as `torch.utils.checkpoint`
    does, nothing else rewritten, and laid out by a plan; None where the graph has no repeated blocks. `graph_sha256`:
    of the graph, as its plans note it. `eager_bytes`: what eager reserves, the whole step (plan/whole_step.py; None:
    not known). `alternatives`: what PyTorch offers itself. `bounds`: live peaks that no rewriting of the captured order
    in these kinds goes below, by ascending extra time.
    """

    name: str
    resident_bytes: int
    captured_peak_bytes: int
    points: tuple[LaidOutPoint, ...]
    times: str
    strategy: str = "auto"
    checkpointed: LaidOutPoint | None = None
    graph_sha256: str = ""
    eager_bytes: int | None = None
    alternatives: tuple[Alternative, ...] = ()
    bounds: tuple[RewriteBound, ...] = ()

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, as `roam frontier --json` prints it."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_data` as JSON, whole or not at all. Raises OutputError."""
        write_text(path, json.dumps(self.to_data()))


def make_frontier(
    graph: Graph,
    points: int = 12,
    *,
    strategy: str = "auto",
    kinds: Collection[str] | None = None,
    parameters: Mapping[str, Any] | None = None,
    profile: Profile | None = None,
) -> Frontier:
    """At most `points` points, from what is free to the least memory that the rewrite strategy knows with these kinds
    of rewriting, laid out by `auto`. `parameters`: the strategy's own. `profile`: whose graph it is, where one is at
    hand: it knows what eager does better.

    Ops without times are costed by the rates of UNTIMED. Raises FormatError for a roam-graph/1, UnknownStrategyError,
    ParameterError.
    """
    timed = costed(graph)
    device = "cuda" if graph.environment.get("device", "").startswith("cuda") else "cpu"
    layout = find("layout", "auto")
    placing = Placing(layout, layout.accept({}), ALIGNMENTS[device], device)
    known = frontier(timed, points, kinds=kinds, strategy=strategy, **(parameters or {}))
    environment = None if profile is None else profile.environment
    laid_out = [_of_plan(make_plan(graph, rewrites=kinds, rewrite=strategy, environment=environment))]
    for point in known:
        found = _laid_out(point, placing)
        if found.arena_bytes < laid_out[-1].arena_bytes:
            laid_out.append(found)
    checkpointed = every_block(timed)
    goals = Goals(kinds=frozenset(default_kinds(timed) if kinds is None else kinds))
    bounds = (rewrite_bound(timed, goals, point.peak_bytes, point.extra_time) for point in _spread(known))
    eager = graph if profile is None else profile.eager_graph or graph
    return Frontier(
        graph.name,
        graph.resident_bytes,
        live_peak(graph, captured_order(graph)).bytes,
        tuple(laid_out),
        timed.times or "of the graph",
        strategy,
        None if checkpointed is None else _laid_out(checkpointed, placing),
        fingerprint(graph),
        eager_whole_bytes(graph if profile is None else profile),
        alternatives(eager),
        tuple(
            RewriteBound(bound.peak_bytes, point.extra_time)
            for bound, point in zip(bounds, _spread(known), strict=True)
        ),
    )


def _spread(known: Sequence[Point]) -> Sequence[Point]:
    """At most MOST_BOUNDS of them, both ends among them: a bound takes a moment."""
    step = max((len(known) - 1) / (MOST_BOUNDS - 1), 1.0)
    chosen = sorted({min(round(number * step), len(known) - 1) for number in range(MOST_BOUNDS)})
    return [known[at] for at in chosen]


def _of_plan(plan: Plan) -> LaidOutPoint:
    made = plan.rewritten
    again, moved = (0, 0) if made is None else (made.recomputed, made.offloaded_bytes)
    return LaidOutPoint(plan.extra_time, plan.arena_bytes, plan.peak_bytes, again, moved)


def _laid_out(point: Point, placing: Placing) -> LaidOutPoint:
    placed = placing.place(point.rewritten())
    return LaidOutPoint(
        point.extra_time,
        placed.layout.arena_bytes,
        placed.peak_bytes,
        placed.rewritten.recomputed,
        placed.rewritten.offloaded_bytes,
    )
