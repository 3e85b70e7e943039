"""Where in the host's memory a plan's storages lie, and which copies to and from it can run."""

from __future__ import annotations

from collections.abc import Sequence

from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Layout, Lifetime, Origin
from roam_lab.ir.host_copies import HostCopy
from roam_lab.layout.greedy_by_size import greedy_by_size

START_COPY, END_COPY = "start_copy", "end_copy"
"""Names under which the program calls what starts a copy, and what waits for it."""
ALIGNMENT = 512
"""Bytes, of what lies in host memory."""


def host_layout(graph: Graph, copies: Sequence[HostCopy]) -> Layout:
    """Where the storages on the host lie, in bytes from the start of the host's memory.

    One lives from the first start of a copy to it to the last start of a copy from it: copies run one after the other.
    """
    if not copies:  # what places storages would load its compiler, 100 MiB, into a process that trains
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
    """Raises JudgementError for a copy that is none between the host and what the plan places; `filled`: the storages
    on the host that were copied to before."""
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
