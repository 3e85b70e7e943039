"""Stage 8: the largest batch by bisection, eager or planned, and what `roam fit` says of the same memory."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.cuda import plans
from benchmarks.cuda.child import Cell
from benchmarks.cuda.device import NotPossible, start_measuring
from benchmarks.cuda.jobs import METHODS
from benchmarks.cuda.models import training
from roam_lab.app.workbench import Made, Workbench
from roam_lab.errors import RoamError
from roam_lab.plan.devices import Device
from roam_lab.plan.runs import RUNS
from roam_lab.runtime import hook

MOST = 4096
SECONDS = 90.0
"""After this long no further batch is tried; the line says what is known."""


def run(cell: Cell) -> None:
    """A part a batch that was tried, and one with the largest; or `fit`'s prediction.

    `memory_bytes` of the settings: what the allocator may take; 0: all that the device has.
    """
    settings, method = cell.settings, cell.settings["method"]
    total = torch.cuda.get_device_properties(0).total_memory
    memory = settings["memory_bytes"] or total
    if method == "fit":
        with cell.part("fit") as line:
            line |= _fit(settings, memory)
        return
    torch.cuda.set_per_process_memory_fraction(min(1.0, memory / total))
    with cell.part("largest") as line:
        tried: dict[int, bool] = {}
        began = time.monotonic()

        def fits(batch: int) -> bool:
            tried[batch] = _fits({**settings, **METHODS.get(method, {})}, batch, planned=method == "planned")
            cell.say(part=f"batch {batch}", status="done", fits=tried[batch])
            return tried[batch]

        largest, whole = bisected(fits, settings["batch"], lambda: time.monotonic() - began > SECONDS)
        line |= {"memory_bytes": memory, "largest_batch": largest, "tried": len(tried), "whole_search": whole}


def bisected(fits: Callable[[int], bool], start: int, over: Callable[[], bool]) -> tuple[int, bool]:
    """The largest batch up to MOST that fits (0: none), and whether the search came to its end before it was `over`."""
    low, high = 0, start
    while high <= MOST and fits(high):
        low, high = high, 2 * high
        if over():
            return low, False
    high = min(high, MOST + 1)
    while high - low > 1:
        if over():
            return low, False
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low, True


def _fits(settings: dict[str, Any], batch: int, planned: bool) -> bool:
    """Whether three steps run. Capture and planning take no memory of the device that counts."""
    try:
        made = training(settings, batch)
        step: Callable[[], Any] = made.run
        if planned:
            pair, plan = (made.model, made.optimizer), plans.planned(plans.captured(made))
            hooked = hook(plan, *pair, step=made.step, on_mismatch="error", check="never")
            step = lambda: hooked(made.batch)  # noqa: E731
        for _ in range(3):
            step()
        torch.cuda.synchronize()
        return not planned or hooked.eager_steps == 0
    except (torch.OutOfMemoryError, RoamError) as error:
        told = "out of memory" in str(error)  # by an op of the plan, or for the arena
        if isinstance(error, RoamError) and not told and not isinstance(error.__cause__, torch.OutOfMemoryError):
            raise
        return False
    finally:
        made = step = hooked = pair = None  # type: ignore[assignment]
        start_measuring()


def _fit(settings: dict[str, Any], memory: int) -> dict[str, Any]:
    """As `roam fit` does, at three batch sizes; the allocator's share has no context in it."""
    made, name = training(settings), settings["model"]
    bench = Workbench()
    step = Made(made.model, made.batch, made.optimizer, step=made.step)
    bench.capture_named(name, step, fake=True, default_plan=False)
    try:
        fit = bench.fit(name, [factor * settings["batch"] for factor in (1, 4, 16)], extra_times=())
    except ModuleNotFoundError as error:
        raise NotPossible(f"no plan: {error.name} is not installed here") from None
    device = Device("the memory fraction", memory, overhead_bytes=0)
    return {"memory_bytes": memory} | {f"largest_batch_{run}": fit.largest_batch(device, run).size for run in RUNS}
