"""Maximum flows and minimum cuts, by OR-tools."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def minimum_cut(tails: Array, heads: Array, capacities: Array, nodes: int, source: int, sink: int) -> NDArray[np.bool_]:
    """For each of `nodes` nodes whether it lies on the source's side of a minimum cut; of all minimum cuts the one with
    the smallest such side.

    Arc i goes from `tails[i]` to `heads[i]` and has the integer capacity `capacities[i]`. Raises ArithmeticError where
    no flow is found.
    """
    from ortools.graph.python import max_flow  # here: plans that need no cut start faster without it

    flow = max_flow.SimpleMaxFlow()
    flow.add_arcs_with_capacity(tails, heads, capacities)
    flow.add_arc_with_capacity(source, sink, 0)  # so that both are nodes of the network, whatever it holds
    status = flow.solve(source, sink)
    if status != flow.OPTIMAL:
        raise ArithmeticError(f"maximum flow ended with status {status}")
    inside = np.zeros(nodes, bool)
    inside[flow.get_source_side_min_cut()] = True
    return inside
