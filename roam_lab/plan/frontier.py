"""The frontier of a graph's rewritings with layouts: bytes of the arena against extra time."""

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
    """One rewriting with its layout. `extra_time`: a fraction of the ops' time before; `recomputed`: how many ops run
    again; `offloaded_bytes`: bytes that are copied to the host."""

    extra_time: float
    arena_bytes: int
    peak_bytes: int
    recomputed: int
    offloaded_bytes: int


@dataclass(frozen=True, slots=True)
class Frontier:
    """The frontier of the graph `name`. `points`: by ascending extra time, none dominated; the first is the plan that
    `roam plan` makes where no time may be added. `times`: where the ops' times are from.

    `strategy`: the rewrite strategy that was used. `checkpointed`: the point at which every block of the model is
    recomputed, as `torch.utils.checkpoint` does, and nothing else is rewritten; None where the graph has no repeated
    blocks. `graph_sha256`: the graph's fingerprint. `eager_bytes`: what the whole eager step reserves
    (plan/whole_step.py; None: not known). `alternatives`: what PyTorch itself offers. `bounds`: lower bounds of the
    live peak over all rewritings of the captured order in these kinds, by ascending extra time. `eager_peak_bytes`: the
    live peak of the eager step above the residents, which headlines compare with (None: not known).
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
    eager_peak_bytes: int | None = None

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, as `roam frontier --json` prints it."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_data` as JSON. Raises OutputError, and then leaves no file of its own."""
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
    """At most `points` points, from the free rewriting to the least memory that the rewrite strategy finds with these
    `kinds` of rewriting, each laid out by `auto`. `parameters`: of the strategy. `profile`: the profile of the graph,
    if there is one; it knows more exactly what eager needs.

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
    bounds = [(rewrite_bound(timed, goals, one.peak_bytes, one.extra_time), one.extra_time) for one in _spread(known)]
    eager = graph if profile is None else profile.eager_graph or graph
    captured = live_peak(graph, captured_order(graph)).bytes
    return Frontier(
        graph.name,
        graph.resident_bytes,
        captured,
        tuple(laid_out),
        timed.times or "of the graph",
        strategy,
        None if checkpointed is None else _laid_out(checkpointed, placing),
        fingerprint(graph),
        eager_whole_bytes(graph if profile is None else profile),
        alternatives(eager),
        tuple(RewriteBound(bound.peak_bytes, extra_time) for bound, extra_time in bounds),
        max(captured, graph.eager_peak_bytes or 0, 0 if profile is None else profile.eager_bytes),
    )


def _spread(known: Sequence[Point]) -> Sequence[Point]:
    """At most MOST_BOUNDS of the points, the first and last among them: each bound takes a moment to prove."""
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
