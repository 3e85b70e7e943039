"""What a graph can be rewritten into: memory against time, laid out."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from typing import Any

from roam_lab.ir import Graph, captured_order, live_peak
from roam_lab.ir.files import write_text
from roam_lab.plan.planner import ALIGNMENTS
from roam_lab.plan.rewriting import Placing, timed_graph
from roam_lab.registry import find
from roam_lab.rewrite.frontier import frontier


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
    """Points of the graph `name` by ascending extra time, none dominated. `times`: what ops were costed by."""

    name: str
    resident_bytes: int
    captured_peak_bytes: int
    points: tuple[LaidOutPoint, ...]
    times: str

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data, as `roam frontier --json` prints it."""
        return asdict(self)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write `to_data` as JSON, whole or not at all. Raises OutputError."""
        write_text(path, json.dumps(self.to_data()))


def make_frontier(graph: Graph, points: int = 12) -> Frontier:
    """At most `points` points, from what is free to the least memory known, laid out by `auto`.

    Ops without times are costed by the rates of UNTIMED. Raises FormatError for a roam-graph/1.
    """
    timed = timed_graph(graph)
    device = "cuda" if graph.environment.get("device", "").startswith("cuda") else "cpu"
    strategy = find("layout", "auto")
    placing = Placing(strategy, strategy.accept({}), ALIGNMENTS[device], device)
    laid_out: list[LaidOutPoint] = []
    for point in frontier(timed, points):
        placed = placing.place(point.rewritten())
        found = LaidOutPoint(
            point.extra_time,
            placed.layout.arena_bytes,
            placed.peak_bytes,
            placed.rewritten.recomputed,
            placed.rewritten.offloaded_bytes,
        )
        if not laid_out or found.arena_bytes < laid_out[-1].arena_bytes:
            laid_out.append(found)
    captured = live_peak(graph, captured_order(graph)).bytes
    return Frontier(graph.name, graph.resident_bytes, captured, tuple(laid_out), timed.times or "of the graph")
