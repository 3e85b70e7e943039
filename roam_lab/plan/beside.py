"""Which storages lie beside the arena: those whose memory nobody can take out of it, or put into it."""

from __future__ import annotations

from collections.abc import Mapping

from roam_lab.ir import Graph, Storage

LEAST_SEGMENT_BYTES = 10 * 2**20
"""From this size on, CUDA's caching allocator gives a storage a segment of its own; smaller ones share theirs."""


def lies_beside(storage: Storage, device: str) -> bool:
    """Whether a storage that an op allocates itself comes on top of the arena.

    CPU: never: the system takes pages out of the arena while the storage lives (runtime/holes.py). CUDA: what lies in
    the caching allocator's segments.
    """
    return storage.external and device.startswith("cuda")


def top_of(graph: Graph, offsets: Mapping[int, int]) -> int:
    """Bytes of the arena itself: where the last of the storages ends that ops do not allocate themselves."""
    return max(
        (offset + graph.storages[index].bytes for index, offset in offsets.items()
         if not graph.storages[index].external),
        default=0,
    )  # fmt: skip
