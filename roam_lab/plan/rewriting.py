"""A rewritten graph ordered and laid out."""

from __future__ import annotations

from dataclasses import dataclass

from roam_lab.ir import Layout, Order, captured_order, live_peak
from roam_lab.ir.rewritten import Rewritten
from roam_lab.plan.planner import lay_out
from roam_lab.registry import find

CLOSE = 1.004
"""A layout that takes at most that many times the live peak is not improved further."""


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
    peak = live_peak(graph, order).bytes
    strategy = find("layout", layout)
    declared = {parameter.name for parameter in strategy.parameters}
    given = {"capacity": int(peak * CLOSE)} if "capacity" in declared else {}
    return Placed(rewritten, order, peak, lay_out(graph, order, strategy, strategy.accept(given), alignment, device))
