"""A whole training run on the simulated caching allocator: residents, then several steps of one graph."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from roam_lab.ir import Graph, captured_order, lifetimes
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.allocator import CachingAllocator, DeviceFullError
from roam_lab.layout.caching.blocks import Block
from roam_lab.layout.caching.settings import MIB, AllocatorSettings

STEPS = 3
"""How many steps are simulated: the first makes the optimizer's state, the second is the first that has all of it, and
the third shows whether reserved bytes still grow."""
COARSE = 256
"""`least_bytes` is accurate to 1/COARSE of its value."""

Event = tuple[int | None, int]
"""(storage, bytes): the storage is allocated; (storage, 0): it is freed; (None, bytes): memory that the first step
allocates and that is never freed."""


@dataclass(frozen=True, slots=True)
class Reservation:
    """Peaks over a simulated run, in bytes: `allocated` in blocks, `reserved` in segments. Both include `resident` and
    `workspace` (of cuBLAS)."""

    allocated: int
    reserved: int
    resident: int = 0
    workspace: int = 0

    @property
    def above_resident(self) -> int:
        """Reserved bytes without residents and workspaces: the step's own, and what the allocator loses to rounding and
        fragmentation."""
        return self.reserved - self.resident - self.workspace


def simulate(
    run: TrainingRun, settings: AllocatorSettings | None = None, limit_bytes: int | None = None, steps: int = STEPS
) -> Reservation:
    """The peaks of `steps` steps of `run`. Raises DeviceFullError where the run does not fit into `limit_bytes`, though
    cached segments are given back.

    Parameters, buffers and batch are there before the first step; its update makes the optimizer's state. Gradients
    stay to the end of a step.
    """
    allocator = CachingAllocator(settings, limit_bytes)
    for kind, sizes in run.resident.items():
        for size in sizes if kind != "state" else ():
            if size:
                allocator.allocate(size)
    events = list(_events(run))
    for number in range(steps):
        held: dict[int, Block] = {}
        for storage, size in events:
            if storage is None:
                if number == 0 and size:
                    allocator.allocate(size)
            elif size:
                held[storage] = allocator.allocate(size)
            else:
                allocator.free(held.pop(storage))
    workspace = sum(run.workspaces.values())
    return Reservation(allocator.allocated.peak, allocator.reserved.peak, run.resident_bytes, workspace)


def least_bytes(run: TrainingRun, settings: AllocatorSettings | None = None) -> int:
    """The least limit of bytes under which `run` succeeds, by bisection, to 1/COARSE of it."""
    free = simulate(run, settings)
    low, high = free.allocated, free.reserved
    while high - low > max(high // COARSE, 2 * MIB):
        middle = (low + high) // 2
        try:
            high = min(simulate(run, settings, middle).reserved, middle)
        except DeviceFullError:
            low = middle
    return high


def _stays(graph: Graph, storage: int) -> bool:
    """Whether a storage is a gradient that eager keeps to the end of the step: one that an op outside backward uses."""
    users = (graph.ops[user] for user in graph.users[storage])
    return graph.storages[storage].kind == "gradient" and any(op.phase != "backward" for op in users)


def _events(run: TrainingRun) -> Iterator[Event]:
    graph, steps = run.graph, len(run.graph.ops)
    made: list[list[Event]] = [[] for _ in range(steps + 1)]
    freed: list[list[Event]] = [[] for _ in range(steps + 1)]
    for life in lifetimes(graph, captured_order(graph)):
        made[life.start].append((life.storage, life.bytes))
        last = steps if _stays(graph, life.storage) else life.end
        freed[last].append((life.storage, 0))
    workspaces = run.workspaces
    update = next((index for index, op in enumerate(graph.ops) if op.phase == "update"), steps)
    for step in range(steps + 1):
        yield from freed[step]
        if step == update:
            yield from ((None, size) for size in run.resident.get("state", ()))
        yield from made[step]
        if step in workspaces:
            yield None, workspaces[step]
        if run.temporaries.get(step):
            temporary = len(graph.storages)  # a number that no storage has
            yield temporary, run.temporaries[step]
            yield temporary, 0
