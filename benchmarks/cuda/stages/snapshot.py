"""Stage 9: the allocator's own snapshot of one tiny planned step, written as a pickle for PyTorch's memory_viz."""

from __future__ import annotations

import pickle

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.jobs import name_of
from benchmarks.cuda.models import training


def run(cell: Cell) -> None:
    """One part."""
    with cell.part("snapshot") as line:
        made = training(cell.settings)
        hooked, _ = plans.hooked(cell, name_of(cell.settings), made)
        hooked(made.batch)
        torch.cuda.memory._record_memory_history(stacks="python")
        hooked(made.batch)
        snapshot = torch.cuda.memory._snapshot()
        torch.cuda.memory._record_memory_history(enabled=None)
        file = cell.work / f"{cell.name}.pickle"
        file.write_bytes(pickle.dumps(snapshot))
        segments = snapshot["segments"]
        line |= {
            "segments": len(segments),
            "blocks": sum(len(segment["blocks"]) for segment in segments),
            "reserved_bytes": sum(segment["total_size"] for segment in segments),
            "events": sum(map(len, snapshot["device_traces"])),
            "file": file.name,
        }
