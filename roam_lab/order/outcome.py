"""What an order strategy returns: an order alone, or with what else the strategy knows about it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from roam_lab.ir import Graph, Order
from roam_lab.order.tasks import Task
from roam_lab.registry import Strategy


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a strategy may return in place of a bare order.

    `lower_bound_bytes`: no legal order has a lower live peak, proven by the strategy itself (0: nothing
    proven). `timed_out`: it stopped at its time limit (or its limit of size) with the best found. `note`: one
    sentence on what limited it. `strategy`: the strategy that made the order, where the one asked for gave up (""
    where it did not). `tasks`: ROAM's tree.
    """

    order: Order
    lower_bound_bytes: int = 0
    timed_out: bool = False
    note: str = ""
    strategy: str = ""
    tasks: Task | None = None


def run(strategy: Strategy, graph: Graph, values: Mapping[str, Any]) -> Outcome:
    """Call an order strategy; an order alone becomes an outcome that says nothing else. Raises as `Strategy.call`."""
    found = strategy.call((Outcome, Iterable), graph, **values)
    return found if isinstance(found, Outcome) else Outcome(tuple(found))
