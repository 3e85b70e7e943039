"""A few training steps, timed and measured: the same loop for the eager and for the planned run."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

import torch

from roam_lab.capture import OptimizerOrSeveral, optimizers_of
from roam_lab.capture.inputs import groups_of
from roam_lab.capture.step import loss_in
from roam_lab.capture.torch_internals import pytree
from roam_lab.progress import Progress, silent
from roam_lab.runtime.process_peak import PeakMeter

BoundStep = Callable[[Any], torch.Tensor]
"""`loss = step(batch)`: one training step of one model and optimizer."""

DECAY = 0.9
"""The factor by which `scheduler=True` multiplies every learning rate after each step."""


@dataclass(frozen=True)
class RunFigures:
    """Memory, times and losses of one run of several steps.

    `base_bytes`: held before the first step, with the optimizer state that the first step makes; it is the same with
    and without a plan. `peak_above_base_bytes`: the most that the steps held on top. `reserved_bytes`: on CUDA, the
    most that the caching allocator took from the device, base included. `how`: the method of measuring, in words.
    """

    base_bytes: int
    peak_above_base_bytes: int
    how: str
    step_seconds: tuple[float, ...]
    losses: tuple[float, ...]
    reserved_bytes: int | None = None

    @property
    def median_step_seconds(self) -> float:
        """Median over the steps after the first, which warms up."""
        return median(self.step_seconds[1:] or self.step_seconds)

    def to_data(self) -> dict[str, Any]:
        """Plain JSON data; `RunFigures.from_data` reads it back."""
        return {**asdict(self), "median_step_seconds": self.median_step_seconds}

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> RunFigures:
        """The inverse of `to_data`."""
        values = {key: value for key, value in data.items() if key != "median_step_seconds"}
        values["step_seconds"], values["losses"] = tuple(values["step_seconds"]), tuple(values["losses"])
        return cls(**values)


def measured_run(
    step: BoundStep,
    optimizer: OptimizerOrSeveral,
    batch: Any,
    *,
    steps: int,
    scheduler: bool = False,
    device: str | torch.device = "cpu",
    progress: Progress = silent,
) -> tuple[RunFigures, list[Any]]:
    """Run `steps` steps. Returns the figures, and what the steps returned (to compare its bits).

    With `scheduler` every learning rate is multiplied by 0.9 after each step. `progress` is called before each step; an
    exception that it raises ends the run.
    """
    device = torch.device(device)
    before = state_bytes(optimizer)
    seconds: list[float] = []
    results: list[Any] = []
    with PeakMeter(device) as meter:
        for number in range(steps):
            progress(f"step {number + 1} of {steps}", number / steps)
            elapsed, result = timed_step(step, batch, device)
            seconds.append(elapsed)
            results.append(result)
            if scheduler:
                decay_learning_rates(optimizer)
    base = meter.result.base_bytes + max(0, state_bytes(optimizer) - before)
    figures = RunFigures(
        base_bytes=base,
        peak_above_base_bytes=max(0, meter.result.peak_bytes - base),
        how=meter.result.how,
        step_seconds=tuple(seconds),
        losses=tuple(map(loss_in, results)),
        reserved_bytes=meter.result.reserved_bytes,
    )
    return figures, results


def timed_step(step: BoundStep, batch: Any, device: torch.device) -> tuple[float, Any]:
    """Seconds of one step, to the end of its work on the device, and a copy of what it returned in CPU memory."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    began = time.perf_counter()
    result = step(batch)
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elapsed = time.perf_counter() - began
    return elapsed, pytree.tree_map_only(torch.Tensor, lambda one: one.detach().to("cpu", copy=True), result)


def decay_learning_rates(optimizer: OptimizerOrSeveral, factor: float = DECAY) -> None:
    """Multiply the learning rate of every group by `factor`, as a scheduler does; in place where it is a tensor."""
    for _, _, group in groups_of(optimizers_of(optimizer)):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].mul_(factor)
        else:
            group["lr"] *= factor


def state_bytes(optimizer: OptimizerOrSeveral) -> int:
    """Bytes of all storages in the optimizers' states."""
    storages = {}
    for leaf in pytree.tree_leaves([list(one.state.values()) for one in optimizers_of(optimizer)]):
        if isinstance(leaf, torch.Tensor):
            storage = leaf.untyped_storage()
            storages[storage._cdata] = storage.nbytes()
    return sum(storages.values())
