"""The order in which eager PyTorch ran the ops."""

from __future__ import annotations

from roam_lab.ir import Graph, Order, captured_order
from roam_lab.registry import strategy


@strategy("order", "captured", source="eager PyTorch")
def captured(graph: Graph) -> Order:
    """The captured order, as eager PyTorch ran it: the baseline that no plan may fall behind."""
    return captured_order(graph)
