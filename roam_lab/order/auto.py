"""The automatic order."""

from __future__ import annotations

from roam_lab.ir import Graph, Order
from roam_lab.order.list_scheduling import list_scheduling
from roam_lab.registry import strategy


@strategy("order", "auto", source="a portfolio with a proof (DESIGN)")
def auto(graph: Graph) -> Order:
    """List scheduling, improved while it is not proven optimal."""
    return list_scheduling(graph)
