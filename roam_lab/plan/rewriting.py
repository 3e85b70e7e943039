"""A rewritten graph ordered and laid out."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.ir import Layout, Order, captured_order, live_peak
from roam_lab.ir.rewritten import Rewritten
from roam_lab.plan.planner import lay_out
from roam_lab.registry import find


@dataclass(frozen=True, slots=True)
class Placed:
    """A rewriting with its order, live peak (bytes) and layout."""

    rewritten: Rewritten
    order: Order
    peak_bytes: int
    layout: Layout


def place(rewritten: Rewritten, layout: str = "auto", alignment: int = 64, device: str = "cpu") -> Placed:
    """Lay out `rewritten` in the order in which its ops stand, which is the one that its peak was planned for."""
    graph = rewritten.graph
    order = captured_order(graph)
    strategy = find("layout", layout)
    placed = lay_out(graph, order, strategy, strategy.accept({}), alignment, device)
    return Placed(rewritten, order, live_peak(graph, order).bytes, placed)
