"""A planned step on the simulated caching allocator: the bytes that the arena and the rest of the step reserve."""

from __future__ import annotations

from collections.abc import Collection

from roam_lab.ir import Graph, lifetimes
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.allocator import CachingAllocator
from roam_lab.layout.caching.blocks import Block
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import Reservation
from roam_lab.plan.beside import LEAST_LENDING_BYTES, lent
from roam_lab.plan.plan import Plan


def simulate_planned(
    plan: Plan, graph: Graph, run: TrainingRun, settings: AllocatorSettings | None = None
) -> Reservation:
    """The bytes that the planned step of `graph`, whose eager run is `run`, allocates and reserves: residents, one
    workspace of cuBLAS (a planned step runs in one thread), the arena, and on CUDA the results that lie beside it.

    An arena of which ranges are lent lies in a memory pool of its own, and so do all allocations of an op while a range
    is lent to it. Workspaces count as far as the graph knows them; unknown ones may take a segment more.
    """
    device = CachingAllocator(settings)
    workspace = run.workspace_bytes if run.workspaces else 0
    for size in (*(size for sizes in run.resident.values() for size in sizes), workspace):
        if size:
            device.allocate(size)
    on_cuda = plan.environment.get("device", "cpu").startswith("cuda")
    lends, own = lent(graph, plan.order, plan.offsets) if on_cuda else (dict[int, int](), plan.arena_bytes)
    pool = CachingAllocator(settings) if lends else device
    own = max(own, LEAST_LENDING_BYTES) if lends else own
    if own:
        pool.allocate(own)
    if on_cuda:
        _run(plan, graph, lends, pool, device)
    pools = {device, pool}
    allocated, reserved = (sum(getattr(one, name).peak for one in pools) for name in ("allocated", "reserved"))
    return Reservation(allocated, reserved, run.resident_bytes, workspace)


def _run(plan: Plan, graph: Graph, lends: Collection[int], pool: CachingAllocator, device: CachingAllocator) -> None:
    """One step: allocate and free each result that lies beside the arena."""
    made: dict[int, list[tuple[int, int]]] = {}
    freed: dict[int, list[int]] = {}
    for life in lifetimes(graph, plan.order):
        if life.bytes and graph.storages[life.storage].external and life.storage not in lends:
            made.setdefault(life.start, []).append((life.storage, life.bytes))
            freed.setdefault(life.end, []).append(life.storage)
    held: dict[int, tuple[CachingAllocator, Block]] = {}
    for step, index in enumerate(plan.order):
        for storage in freed.get(step, ()):
            allocator, block = held.pop(storage)
            allocator.free(block)
        allocator = pool if any(storage in lends for storage in graph.ops[index].creates) else device
        for storage, size in made.get(step, ()):
            held[storage] = allocator, allocator.allocate(size)
