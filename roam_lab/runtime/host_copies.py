"""The layout of a plan's storages in host memory, and checks of the copies to and from it."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Layout, Lifetime, Origin
from roam_lab.ir.host_copies import HostCopy
from roam_lab.layout.greedy_by_size import greedy_by_size

START_COPY, END_COPY = "start_copy", "end_copy"
"""The names in a program of the functions that start a copy and wait for it."""
ALIGNMENT = 512
"""Alignment of storages in host memory, in bytes."""


def host_layout(graph: Graph, copies: Sequence[HostCopy]) -> Layout:
    """The layout of the storages on the host, in bytes from the start of the host memory.

    A storage lives from the first start of a copy to it up to the last start of a copy from it; that suffices, as
    copies run one after the other.
    """
    if not copies:  # a layout strategy would load numba, 100 MiB, into a process that trains
        return Layout({}, 0)
    first: dict[int, int] = {}
    last: dict[int, int] = {}
    for copy in copies:
        if graph.storages[copy.target].region == "host":
            first.setdefault(copy.target, copy.start)
            last[copy.target] = max(last.get(copy.target, 0), copy.end)
        else:
            last[copy.source] = max(last[copy.source], copy.start)
    return greedy_by_size(
        tuple(
            Lifetime(storage, start, last[storage] + 1, -(-graph.storages[storage].bytes // ALIGNMENT) * ALIGNMENT)
            for storage, start in sorted(first.items())
        )
    )


def check_copy(graph: Graph, index: int, origin: Origin, filled: set[int]) -> None:
    """Raise JudgementError for a copy that is not between the host and a storage that the plan places. `filled`: the
    storages on the host to which something was copied before."""
    op = graph.ops[index]
    assert origin.copies is not None
    source, target = origin.copies
    regions = graph.storages[source].region, graph.storages[target].region
    if regions in (("arena", "host"), ("op", "host")):
        filled.add(target)
    elif regions != ("host", "arena"):
        raise JudgementError(
            f"op {index} ({op.name}) copies from region {regions[0]} to region {regions[1]}; a storage goes to the "
            "host, and comes back to the arena"
        )
    elif source not in filled:
        raise JudgementError(f"op {index} ({op.name}) copies storage {source} back, to which nothing was copied")
