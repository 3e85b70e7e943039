"""Which calls of Lightning's `Trainer.fit` cannot be planned, and why, as far as that is known before training."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from types import FunctionType
from typing import Any

import torch

from roam_lab.capture.sources.names_used import names_in
from roam_lab.distributed import is_replicated

_IN_STEP = ("on_before_backward", "on_after_backward", "on_before_optimizer_step")
_BEFORE_CLEARING = "on_before_zero_grad"
_LIBRARIES = ("torch", "lightning", "pytorch_lightning", "roam_lab")


def hooked_in_step(trainer: Any) -> tuple[Any, ...]:
    """The callbacks that have a hook inside the step."""
    return tuple(
        callback
        for callback in trainer.callbacks
        if any(_own_function(callback, name) is not None for name in (*_IN_STEP, _BEFORE_CLEARING))
    )


def why_not_planned(trainer: Any, module: Any) -> str | None:
    """Why no step of this call can be planned; None if no reason is known."""
    loop, strategy, plugin = (
        trainer.fit_loop.epoch_loop.automatic_optimization,
        trainer.strategy,
        trainer.precision_plugin,
    )
    if not module.automatic_optimization:
        return f"{type(module).__name__} has automatic_optimization = False, and its own code steps the optimizers"
    alone = type(strategy).__name__ == "SingleDeviceStrategy" and strategy.model is module
    if not alone and not _replicates(strategy, module):
        return (
            f"Trainer(strategy=...) is a {type(strategy).__name__}, and steps are planned for one device or "
            'strategy="ddp"; use one of these'
        )
    if type(loop).__name__ != "_AutomaticOptimization":
        return f"the Trainer's loop is a {type(loop).__name__}, and not Lightning's own"
    if len(trainer.optimizers) != 1 or not isinstance(trainer.optimizers[0], torch.optim.Optimizer):
        return "configure_optimizers() gives no optimizer"
    if getattr(plugin, "scaler", None) is not None:
        return f"Trainer(precision={plugin.precision!r}) scales the loss, which is not planned"
    if type(plugin).__name__ not in ("Precision", "MixedPrecision", "HalfPrecision", "DoublePrecision"):
        return f"Trainer(precision=...) is a {type(plugin).__name__}, whose steps are not planned"
    if type(trainer.profiler).__name__ != "PassThroughProfiler":
        return (
            f"Trainer(profiler=...) is a {type(trainer.profiler).__name__}, which times what planned steps do not run"
        )
    return None


def _replicates(strategy: Any, module: Any) -> bool:
    """Whether Lightning has wrapped the module in a DistributedDataParallel, and does nothing else."""
    averages = getattr(strategy, "_model_averager", None) is not None
    wrapped = is_replicated(strategy.model) and strategy.model.module is module
    return type(strategy).__name__ == "DDPStrategy" and wrapped and not averages


def reads_gradients(trainer: Any, module: Any) -> bool:
    """Whether a hook that is called between steps names `.grad`, so that gradients must exist until the next step."""
    owners = (module, *trainer.callbacks)
    return any(_names_grad(owner, name) for owner in owners for name in _hooks(owner) if name not in _IN_STEP)


def why_not_now(loop: Any, kwargs: OrderedDict[str, Any]) -> str | None:
    """Why this batch is not planned."""
    if torch.is_anomaly_enabled():
        return "autograd looks for anomalies (detect_anomaly), which planned steps do not"
    if loop._skip_backward:
        return "a callback has the Trainer skip the backward pass"
    if "batch" not in kwargs:
        return "training_step takes its batches from dataloader_iter itself"
    return None


def _hooks(owner: Any) -> Iterator[str]:
    names = {*dir(type(owner)), *vars(owner)}
    return (name for name in sorted(names) if name.startswith("on_") and _own_function(owner, name) is not None)


def _own_function(owner: Any, name: str) -> FunctionType | None:
    """The function behind a method, where it is not Lightning's own."""
    found = getattr(owner, name, None)
    function = getattr(found, "__func__", found)
    return function if isinstance(function, FunctionType) and not _of_library(function) else None


def _of_library(function: FunctionType) -> bool:
    return str(function.__module__).partition(".")[0] in _LIBRARIES


def _names_grad(owner: Any, name: str) -> bool:
    """Whether a hook, or what it calls of the same object or of its module, names `.grad`."""
    waiting, met = [_own_function(owner, name)], set()
    while waiting:
        function = waiting.pop()
        if function is None or function in met:
            continue
        met.add(function)
        read, _, used, _ = names_in(function.__code__)
        if "grad" in used or "grad_norm" in read | used:
            return True
        waiting += [_own_function(owner, other) for other in used]
        waiting += [_users(function.__globals__.get(other)) for other in read]
    return False


def _users(found: Any) -> FunctionType | None:
    return found if isinstance(found, FunctionType) and not _of_library(found) else None
