"""Which trainings by transformers' Trainer cannot be planned, and why."""

from __future__ import annotations

from typing import Any

import torch

from roam_lab.distributed import is_replicated
from roam_lab.integrations.trainer_loop import KNOWN, loop_of

_OURS = ("training_step", "_prepare_inputs")
"""Methods that no class before the mixin may override: such a method would run around the whole planned step."""
_CLIPPING = ("_clip_grad_norm", "_get_grad_norm")
"""The method by which Trainer calls `accelerator.clip_grad_norm_`; before transformers 5 its loop does so itself."""
_BETWEEN = ("on_pre_optimizer_step", "on_optimizer_step")
"""Events of callbacks between backward and `zero_grad`: they may read gradients, which a planned step has cleared."""
_REPLICATED = ("MULTI_CPU", "MULTI_GPU")
"""What Accelerate calls training by DistributedDataParallel."""
FOLLOWED = ("state", "control")
"""Attributes of the loop that capture follows and guards where a step reads them."""


def why_eager(trainer: Any, mixin: type, model: torch.nn.Module) -> str | None:
    """Why this training, as it is now, cannot be planned; None where it can. `mixin`: the class that plans it."""
    loop, args, accelerator = loop_of(trainer), trainer.args, trainer.accelerator
    name = type(trainer).__name__
    for method in _OURS:
        if method in vars(trainer) or getattr(type(trainer), method) is not getattr(mixin, method):
            return f"{name}.{method} comes before RoamMixin's; put it into a class behind it: {name}(RoamMixin, ...)"
    for method in _CLIPPING:
        if hasattr(trainer, method) and is_users(getattr(trainer, method)):
            return f"{name} has a {method} of its own"
    for callback in trainer.callback_handler.callbacks:
        for event in _BETWEEN:
            if is_users(getattr(callback, event, None)):
                return f"{type(callback).__name__}.{event} may read gradients, which a planned step does not keep"
    distributed, mode = accelerator.distributed_type.value, args.parallel_mode.value
    replicated = is_replicated(model) and model.module is trainer.model
    if not (replicated and distributed in _REPLICATED):
        if distributed != "NO" or mode not in ("not_parallel", "not_distributed"):
            return f"training is distributed ({distributed}, {mode}), and only DistributedDataParallel is planned"
        if model is not trainer.model:
            return f"the model is wrapped in a {type(model).__name__}"
    if args.torch_compile:
        return "the model is compiled (torch_compile)"
    if accelerator.scaler is not None or getattr(trainer, "use_apex", False):
        return "the loss is scaled (fp16)"
    if getattr(args, "torch_empty_cache_steps", None) is not None:
        return "caches are emptied in the middle of steps (torch_empty_cache_steps), which planned steps do not need"
    if getattr(args.optim, "value", args.optim) in ("lomo", "adalomo"):
        return f"the optimizer {args.optim} steps while gradients are computed"
    if "accelerator" in loop.read and accelerator.gradient_state.end_of_dataloader:
        return "it is the last batch of an epoch, of which accelerator.gather_for_metrics may take a part"
    hidden = sorted(loop.read.difference(FOLLOWED, KNOWN))
    if hidden:
        return f"the step reads {hidden[0]} of the Trainer, which belongs to its loop"
    return None


def is_users(method: Any) -> bool:
    """Whether a method is defined neither by transformers' Trainer nor by its base class of callbacks."""
    home = getattr(method, "__module__", None)
    return method is not None and home not in ("transformers.trainer", "transformers.trainer_callback")
