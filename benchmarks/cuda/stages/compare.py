"""The comparison: step time and memory of one method on one model, batch and type, in a process of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import peaks, start_measuring, times
from benchmarks.cuda.jobs import name_of
from benchmarks.cuda.models import Training, training

STEPS = 15
BUDGET = 0.5
"""Of `activation_memory_budget`: half of what the compiler would keep for the backward pass."""


def run(cell: Cell) -> None:
    """One part. Peaks are those of the steps: capture and compilation lie before, the first step's state in them."""
    method = cell.settings["method"]
    with cell.part("figures") as line:
        made = training(cell.settings)
        line["weights_bytes"] = torch.cuda.memory_allocated()
        step: Callable[[], Any] = made.run
        if method.startswith("planned"):
            hooked, line["plan"] = plans.hooked(cell, name_of(cell.settings), made)
            step = lambda: hooked(made.batch)  # noqa: E731
        elif method.startswith("compiled"):
            line |= _compile(made, method, cell.fake)
            step()  # it compiles here
        start_measuring()
        line |= times(step, STEPS)
        line |= peaks()


def _compile(made: Training, method: str, fake: bool) -> dict[str, Any]:
    """Compile the model in place; the optimizer stays as it is."""
    if method == "compiled, memory budget":
        import torch._functorch.config as config

        config.activation_memory_budget = BUDGET  # type: ignore[attr-defined]
    if fake:
        made.model.compile(backend="aot_eager")
        return {"backend": "aot_eager", "reason": "Triton makes no kernels for the fake device: no figure of Inductor"}
    made.model.compile(mode="reduce-overhead" if "reduce-overhead" in method else "default")
    return {"backend": "inductor"}
