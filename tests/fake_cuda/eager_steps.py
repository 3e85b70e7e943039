"""`python -m tests.fake_cuda.eager_steps NAME ...`: eager steps of larger models in a process of its own, whose
allocator begins empty.

Writes a JSON object a model: `steps` (whether the simulated allocator, given the real one's requests, held the same
after each), `real` and `predicted` (peaks of reserved and allocated bytes; predicted from the captured step alone),
`with_own` (predicted, with what each op was seen to take for itself); `workspaces`: of cuBLAS; `runs`: whether eager
really ran under 0.95 of the least bytes that are foretold, and under 1.03 of them.
"""

from __future__ import annotations

import gc
import json
import os
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from roam_lab.capture import as_step, capture_step
from roam_lab.ir.training_run import TrainingRun
from roam_lab.layout.caching.allocator import CachingAllocator
from roam_lab.layout.caching.blocks import Block
from roam_lab.layout.caching.settings import AllocatorSettings
from roam_lab.layout.caching.training_run import least_bytes, simulate
from tests.fake_cuda.larger import LARGER
from tests.fake_cuda.training import on_cuda
from tests.zoo import adamw

STEPS = 4
SETTINGS = AllocatorSettings.of_environment()
memory: Any = torch.cuda.memory


def trace() -> list[dict[str, Any]]:
    """All requests since recording began."""
    return memory._snapshot()["device_traces"][0]


def figures() -> dict[str, int]:
    """Bytes now, and at the peak."""
    stats = torch.cuda.memory_stats()
    return {
        f"{name}_{key}": stats[f"{name}_bytes.all.{key}"]
        for name in ("reserved", "allocated")
        for key in ("current", "peak")
    }


def replayed(requests: list[dict[str, Any]], marks: list[tuple[int, dict[str, int]]]) -> list[bool]:
    """Whether the simulated allocator holds the same as the real one at each mark."""
    simulated, held, same = CachingAllocator(SETTINGS), dict[int, Block](), list[bool]()
    for number, request in enumerate([*requests, {"action": "end"}]):
        same += [
            figure
            == {
                f"{name}_{key}": getattr(getattr(simulated, name), attribute)
                for name in ("reserved", "allocated")
                for key, attribute in (("current", "now"), ("peak", "peak"))
            }
            for at, figure in marks
            if at == number
        ]
        if request["action"] == "alloc":
            held[request["addr"]] = simulated.allocate(request["size"])
        elif request["action"] == "free_completed":
            simulated.free(held.pop(request["addr"]))
    return same


def empty() -> None:
    """Give everything back that the steps before have left."""
    gc.collect()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()


def training(name: str) -> Callable[[], object]:
    """A step of a new model on the device."""
    model, batch, loss = LARGER[name]()
    model.cuda().train()
    batch = on_cuda(batch)
    optimizer, step = adamw(model.parameters()), as_step(loss)
    return lambda: step(model, optimizer, batch)


def runs(name: str, limit: int) -> bool:
    """Whether the model trains where no more than `limit` bytes may be reserved."""
    empty()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(limit / total)
    try:
        step = training(name)
        for _ in range(STEPS):
            step()
    except torch.OutOfMemoryError:
        return False
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    return True


def compared(name: str) -> dict[str, Any]:
    empty()
    assert torch.cuda.memory_reserved() == 0
    memory._record_memory_history(enabled="all", context=None, max_entries=10**7)
    model, batch, loss = LARGER[name]()
    model.cuda().train()
    batch = on_cuda(batch)
    optimizer, step = adamw(model.parameters()), as_step(loss)
    marks = []
    for _ in range(STEPS):
        value = step(model, optimizer, batch)
        marks.append((len(trace()), figures()))
    requests = trace()
    memory._record_memory_history(enabled=None)
    run = capture_step(model, optimizer, batch, step).eager
    del value, model, optimizer
    least = least_bytes(run, SETTINGS)
    return {
        "steps": replayed(requests, marks),
        "real": figures_of(marks[-1][1]["reserved_peak"], marks[-1][1]["allocated_peak"]),
        "predicted": predicted(run),
        "with_own": predicted(replace(run, temporaries=own_temporaries(name, run))),
        "workspaces": simulate(run).workspace,
        "runs": [runs(name, int(part * least)) for part in (0.95, 1.03)],
    }


class Own(TorchDispatchMode):
    """Notes what each op allocates and frees again within itself."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, list[int]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = func(*args, **(kwargs or {}))
        least = max(before, torch.cuda.memory_allocated())
        self.seen.setdefault(str(func), []).append(torch.cuda.max_memory_allocated() - least)
        return result


def own_temporaries(name: str, run: TrainingRun) -> dict[int, int]:
    """Op -> bytes: of those that eager runs as often as the graph has them, in the same sequence."""
    step = training(name)
    step()
    with torch.autograd.set_multithreading_enabled(False), Own() as own:
        step()
    found: dict[int, int] = {}
    for target, sizes in own.seen.items():
        ops = [index for index, op in enumerate(run.graph.ops) if op.target == target]
        if len(ops) == len(sizes):
            found |= dict(zip(ops, sizes, strict=True))
    return found


def figures_of(reserved: int, allocated: int) -> dict[str, int]:
    return {"reserved": reserved, "allocated": allocated}


def predicted(run: TrainingRun, steps: int = 3) -> dict[str, int]:
    """Of the captured step alone."""
    found = asdict(simulate(run, SETTINGS, steps=steps))
    return figures_of(found["reserved"], found["allocated"])


def main(names: list[str]) -> None:
    torch.backends.cudnn.enabled = False
    for name in names:
        print(json.dumps({"name": name, **compared(name)}), flush=True)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1:])
