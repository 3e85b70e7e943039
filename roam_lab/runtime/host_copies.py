"""The copies to and from the host that a rewritten plan asks for: from when on each may run, and by when it must have.

A copy runs beside the ops, in its own time. Its op in the plan is the end of its time or the beginning: a storage that
goes to the host keeps its address up to that op, which waits for the copy; one that comes back has its address from
that op on, which starts the copy. So the memory that the plan counts is what is held, however long a copy takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roam_lab.errors import JudgementError
from roam_lab.ir import Graph, Layout, Lifetime, Origin, Rewritten
from roam_lab.layout.greedy_by_size import greedy_by_size

START_COPY, END_COPY = "start_copy", "end_copy"
"""Names under which the program calls what starts a copy, and what waits for it."""
ALIGNMENT = 512
"""Bytes, of what lies in host memory."""


@dataclass(frozen=True, slots=True)
class HostCopy:
    """From storage `source` to `target`. Steps are places in the plan's order: it is started once the op of step
    `start` has run, and has ended before the op of step `end` runs."""

    source: int
    target: int
    start: int
    end: int


def host_copies(rewritten: Rewritten, order: Sequence[int]) -> tuple[HostCopy, ...]:
    """Every copy, in the order in which they are started; each begins after those before it have ended.

    To the host: from the last write of the source, or the last use of the target, to the copy's op. From the host: from
    the copy's op to the first op that uses the target.
    """
    graph = rewritten.graph
    found: list[HostCopy] = []
    written: dict[int, int] = {}
    used: dict[int, int] = {}
    awaited: dict[int, int] = {}  # storage that has come back, and was not used yet -> its copy
    for step, index in enumerate(order):
        op, copies = graph.ops[index], rewritten.origins[index].copies
        if copies is not None:
            source, target = copies
            if graph.storages[target].region == "host":
                found.append(HostCopy(source, target, max(written[source], used.get(target, 0)), step))
            else:
                awaited[target] = len(found)
                found.append(HostCopy(source, target, step, step + 1))
        else:
            for storage in awaited.keys() & {*op.reads, *op.writes}:
                number = awaited.pop(storage)
                found[number] = replace(found[number], end=step)
        written.update(dict.fromkeys((*op.creates, *op.writes), step))
        used.update(dict.fromkeys((*op.creates, *op.touches), step))
    return tuple(sorted(found, key=lambda copy: copy.start))


def host_layout(graph: Graph, copies: Sequence[HostCopy]) -> Layout:
    """Where the storages on the host lie, in bytes from the start of the host's memory.

    One lives from the first start of a copy to it to the last start of a copy from it: copies run one after the other.
    """
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
