"""A plan as a memory snapshot in the form of torch.cuda.memory._snapshot(), for PyTorch's own memory_viz page."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from roam_lab.ir import lifetimes
from roam_lab.report.graphs import graph_of

if TYPE_CHECKING:
    from roam_lab.ir import Op
    from roam_lab.plan import Plan

BASE_ADDRESS = 1 << 32
"""The address of the arena in the snapshot; the page takes address 0 for a missing one."""


def memory_viz(plan: Plan) -> dict[str, Any]:
    """The snapshot: one segment, the arena; in its trace an `alloc` and a free for each storage, in planned order.

    Sizes in bytes; `time_us` counts steps of the plan, as no clock ran. Frames name module, op and the user's source
    line. Raises InputError for a bare plan.
    """
    graph = graph_of(plan)
    begins: dict[int, list[dict[str, Any]]] = {}
    ends: dict[int, list[dict[str, Any]]] = {}
    blocks = []
    for life in lifetimes(graph, plan.order):
        creator = graph.creator[life.storage]
        assert creator is not None
        block = {"addr": BASE_ADDRESS + plan.offsets[life.storage], "size": life.bytes, "stream": 0}
        frames = _frames(graph.ops[creator])
        begins.setdefault(life.start, []).append({"action": "alloc", **block, "frames": frames})
        if not graph.storages[life.storage].output:
            freed: list[dict[str, Any]] = [
                {"action": action, **block, "frames": []} for action in ("free_requested", "free_completed")
            ]
            ends.setdefault(life.end, []).extend(freed)
        else:
            blocks.append((block["addr"], life.bytes, frames))
    arena = {"addr": BASE_ADDRESS, "size": plan.arena_bytes, "stream": 0, "frames": []}
    trace: list[dict[str, Any]] = [{"action": "segment_alloc", **arena, "time_us": 0}] if plan.arena_bytes else []
    for step in range(len(plan.order) + 1):
        trace += [{**event, "time_us": step} for event in ends.get(step, []) + begins.get(step, [])]
    return {
        "segments": [_segment(plan.arena_bytes, sorted(blocks, key=lambda block: block[0]))] if trace else [],
        "device_traces": [trace],
        "allocator_settings": {},
    }


def memory_viz_pickle(plan: Plan) -> bytes:
    """The snapshot as memory_viz reads it from a file: pickled plain dicts, lists, strings and integers."""
    return pickle.dumps(memory_viz(plan), protocol=4)


def _segment(arena_bytes: int, alive: list[tuple[int, int, list[dict[str, Any]]]]) -> dict[str, Any]:
    """The arena at the end of the step: the storages that stay, and the free blocks between them."""
    blocks: list[dict[str, Any]] = []
    at = BASE_ADDRESS
    for address, size, frames in [*alive, (BASE_ADDRESS + arena_bytes, 0, [])]:
        if address > at:
            blocks.append(_block(at, address - at, "inactive", []))
        if size:
            blocks.append(_block(address, size, "active_allocated", frames))
        at = address + size
    kept = sum(size for _, size, _ in alive)
    return {
        "device": 0,
        "address": BASE_ADDRESS,
        "total_size": arena_bytes,
        "allocated_size": kept,
        "active_size": kept,
        "requested_size": kept,
        "stream": 0,
        "segment_type": "large",
        "segment_pool_id": (0, 0),
        "is_expandable": False,
        "frames": [],
        "blocks": blocks,
    }


def _block(address: int, size: int, state: str, frames: list[dict[str, Any]]) -> dict[str, Any]:
    return {"address": address, "size": size, "requested_size": size, "state": state, "frames": frames}


def _frames(op: Op) -> list[dict[str, Any]]:
    """The op, then the user's line, as the stack frames that the page shows."""
    file, _, line = (op.source or "").rpartition(":")
    frames = [{"name": f"{op.name} ({op.target})", "filename": op.module or op.phase or "", "line": 0}]
    if file and line.isdecimal():
        frames.append({"name": op.module or "", "filename": file, "line": int(line)})
    return frames
