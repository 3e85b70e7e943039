"""When the copies of a rewritten graph to and from the host run, and how long ops wait for them.

A copy runs beside the ops, on a stream of its own. Its op in the graph marks only one end of it. A copy to the host
ends at its op, which waits for it: up to there the storage keeps its address. A copy from the host begins at its op:
from there on the storage has an address. So the memory that a plan counts is right, however long a copy takes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from roam_lab.ir.graph import Device
from roam_lab.ir.rewritten import Rewritten


@dataclass(frozen=True, slots=True)
class HostCopy:
    """A copy of storage `source` to storage `target`. It may start once the op at step `start` of the order has run,
    and has ended before the op at step `end` runs."""

    source: int
    target: int
    start: int
    end: int


def host_copies(rewritten: Rewritten, order: Sequence[int]) -> tuple[HostCopy, ...]:
    """Every copy of `rewritten`, in the sequence of their ops; each begins when the one before has ended.

    A copy to the host may run from the last write of its source, or the last use of its target, to the copy's op; one
    from the host from the copy's op to the first op that uses the target.
    """
    graph = rewritten.graph
    found: list[HostCopy] = []
    written: dict[int, int] = {}
    used: dict[int, int] = {}
    awaited: dict[int, int] = {}  # storage that has come back, and was not used yet -> its copy
    latest = 0
    for step, index in enumerate(order):
        op, copies = graph.ops[index], rewritten.origins[index].copies
        if copies is not None:
            source, target = copies
            if graph.storages[target].region == "host":
                latest = max(latest, written[source], used.get(target, 0))
                found.append(HostCopy(source, target, latest, step))
            else:
                latest = step
                awaited[target] = len(found)
                found.append(HostCopy(source, target, step, step + 1))
        else:
            for storage in awaited.keys() & {*op.reads, *op.writes}:
                number = awaited.pop(storage)
                found[number] = replace(found[number], end=step)
        written.update(dict.fromkeys((*op.creates, *op.writes), step))
        used.update(dict.fromkeys((*op.creates, *op.touches), step))
    return tuple(found)


def copy_us(size: int, device: Device) -> float:
    """The time of a copy of `size` bytes between host and `device`, in us."""
    return device.launch_us + 1e6 * size / device.host_bytes_per_s


def waited_us(rewritten: Rewritten, order: Sequence[int], device: Device) -> float:
    """How long ops wait for copies that are not over when they are needed, in us. The ops' times are the graph's."""
    graph = rewritten.graph
    copies = host_copies(rewritten, order)
    starting: dict[int, list[int]] = {}
    ending: dict[int, list[int]] = {}
    for number, copy in enumerate(copies):
        starting.setdefault(copy.start, []).append(number)
        ending.setdefault(copy.end, []).append(number)
    now = waited = link = 0.0
    done: dict[int, float] = {}
    for step, index in enumerate(order):
        until = max([now, *(done[number] for number in ending.get(step, ()))])
        waited, now = waited + until - now, until + (graph.ops[index].time_us or 0.0)  # 0 for a copy: it is the link's
        for number in starting.get(step, ()):
            link = max(link, now) + copy_us(graph.storages[copies[number].source].bytes, device)
            done[number] = link
    return waited
