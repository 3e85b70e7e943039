"""The rewrite strategy `none`: no rewriting."""

from __future__ import annotations

from functools import partial

from roam_lab.ir.graph import Graph
from roam_lab.ir.memory import captured_order, live_peak
from roam_lab.ir.rewritten import untouched
from roam_lab.registry import strategy
from roam_lab.rewrite.points import Found, Goals, Point


@strategy("rewrite", "none", source="the captured graph")
def none(graph: Graph, goals: Goals) -> Found:
    """The graph as it was captured."""
    peak = live_peak(graph, captured_order(graph)).bytes
    return Found((Point(0.0, peak, partial(untouched, graph), "none"),))
