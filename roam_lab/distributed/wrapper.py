"""DistributedDataParallel: which of its modes can be planned, and which attributes are its own bookkeeping."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from roam_lab.distributed.collectives import own_phase
from roam_lab.distributed.torch_internals import in_accumulation, without_modes
from roam_lab.errors import CaptureError

BOOKKEEPING = frozenset(
    {
        "_accum_grad_hooks", "_authoritative_rank", "_bucket_config", "_comm_hooks", "_ddp_sink_clone",
        "_delay_all_reduce_all_params", "_delay_all_reduce_params", "_delay_grad_buffer", "_delay_grad_views",
        "_has_rebuilt_buckets", "_join_config", "_lazy_init_ran", "_module_parameters", "_mp_stream",
        "_static_graph_delay_allreduce_enqueued", "_submodule_to_event", "_use_python_reducer", "batched_grad_copy",
        "broadcast_bucket_size", "broadcast_buffers", "bucket_bytes_cap", "bucket_bytes_cap_default",
        "bucket_bytes_cap_list", "buffer_hook", "device", "device_ids", "device_mesh", "device_type", "dim",
        "find_unused_parameters", "forward_sync_buffers", "gradient_as_bucket_view", "is_multi_device_module",
        "logger", "mixed_precision", "modules_buffers", "named_module_buffers", "output_device",
        "parameters_to_ignore", "process_group", "reducer", "require_backward_grad_sync",
        "require_forward_param_sync", "skip_all_reduce_unused_params", "static_graph",
        "use_side_stream_for_tensor_copies",
    }
)  # fmt: skip
"""Attributes in which the wrapper keeps books: it changes them at any time, and they are no state of the step."""


def is_replicated(model: Any) -> bool:
    """Whether a model is wrapped so that each rank holds all of it and gradients are averaged."""
    return isinstance(model, DistributedDataParallel)


def averages_now(model: Any) -> bool:
    """Whether the model's next backward pass averages gradients; False inside no_sync()."""
    return not is_replicated(model) or bool(model.require_backward_grad_sync)


def takes_buffers(model: Any) -> bool:
    """Whether a wrapper's next forward pass copies the first rank's buffers to all ranks."""
    return is_replicated(model) and bool(model.require_forward_param_sync)


def have_buffers_taken(model: Any, takes: bool) -> None:
    """Decide that, as a forward pass does for the next one: those inside no_sync() leave the buffers as they are."""
    if is_replicated(model):
        vars(model)["require_forward_param_sync"] = takes


def adds_to_gradients(model: Any) -> bool:
    """Whether a step may add to gradients of an earlier one. Not where those lie in the wrapper's own buckets, and not
    where it leaves out which have not arrived: those it overwrites with what other ranks have."""
    return not is_replicated(model) or not (model.gradient_as_bucket_view or model.find_unused_parameters)


def own_attributes(module: Any) -> frozenset[str]:
    """The attributes of a module that are bookkeeping of a wrapper."""
    return BOOKKEEPING if is_replicated(module) else frozenset()


def marks_used(func: Any, args: Sequence[Any]) -> bool:
    """Whether an op is one by which the wrapper notes that a gradient has arrived (find_unused_parameters): its C++
    writes a mark into a tensor that it owns."""
    if func not in _MARKS or not isinstance(args[0], torch.Tensor) or args[0].dtype is not torch.int32:
        return False
    return own_phase() is None and in_accumulation()


_MARKS = frozenset({torch.ops.aten.select.int, torch.ops.aten.fill_.Scalar})


def forget_marks(model: Any) -> None:
    """Clear the wrapper's marks of gradients that arrived; they were averaged by roam-lab, not by the wrapper."""
    if model.find_unused_parameters:
        with without_modes():
            model.reducer._reset_state()


def refuse_unsupported(model: Any) -> None:
    """Raise CaptureError, naming what to do instead, for a mode of a wrapper whose exchange cannot be written as
    ops."""
    refusal = _unsupported(model) if is_replicated(model) else None
    if refusal is not None:
        raise CaptureError(f"DistributedDataParallel {refusal}")


def _unsupported(model: Any) -> str | None:
    """The rest of the sentence that names what cannot be planned, and what to do; None where all can."""
    if model._comm_hooks or _logged(model, "comm_hook"):
        return (
            "has a communication hook, which may do anything to the gradients; train this step eagerly, or register "
            "none"
        )
    if model._join_config.enable:
        return (
            "runs in join(), where ranks may have different numbers of batches; give all the same number "
            "(drop_last=True of the sampler), or train eagerly"
        )
    if hasattr(model, "buffer_hook"):
        return "has a hook that exchanges buffers in a way of its own; train eagerly, or register none"
    if getattr(model, "_delay_all_reduce_params", ()):
        return "is told to delay the averaging of some parameters (delay_all_reduce_named_params); leave that out"
    if getattr(model, "mixed_precision", None) is not None:
        return "casts parameters itself (mixed_precision); use torch.autocast in the step, which can be planned"
    if getattr(model, "batched_grad_copy", False):
        return "copies gradients in batches, which rounds otherwise (batched_grad_copy=True); leave that out"
    if getattr(model, "skip_all_reduce_unused_params", False):
        return "leaves unused parameters out (skip_all_reduce_unused_params=True); use find_unused_parameters=True"
    if getattr(model, "_use_python_reducer", False):
        return "uses the reducer of torch.compile (optimize_ddp); leave torch._dynamo.config.optimize_ddp as it is"
    if any(hasattr(parameter, "_in_backward_optimizers") for parameter in model.parameters()):
        return "steps optimizers inside of backward; step them after it"
    if "device_mesh" in vars(model) and model.device_mesh._get_root_mesh() != model.device_mesh:
        return "is one dimension of a larger device mesh, whose other tensors cannot be planned yet; train eagerly"
    return None


def _logged(model: Any, key: str) -> str | None:
    """The value of `key` in the wrapper's logging data, as text; None where there is none."""
    if model.logger is None:
        return None
    found = model._get_ddp_logging_data().get(key)
    return str(found) if found else None


def refuse_other_wrappers(model: torch.nn.Module) -> None:
    """Raise CaptureError for a model spread over processes by something that cannot be captured (FSDP, fully_shard,
    SyncBatchNorm)."""
    for module in model.modules():
        kinds = {kind.__name__ for kind in type(module).__mro__ if kind.__module__.startswith("torch.distributed")}
        if kinds & {"FSDPModule", "FullyShardedDataParallel"}:
            raise CaptureError(
                f"{type(module).__name__} is sharded (FSDP, fully_shard), whose exchange cannot be captured; give "
                "the plain model to roam.shard, which gives the same bits and can be planned, or train it eagerly"
            )
        if isinstance(module, torch.nn.SyncBatchNorm):
            raise CaptureError(
                "SyncBatchNorm exchanges its statistics between ranks inside the forward pass, which cannot be planned "
                "yet; use BatchNorm (a larger batch on each rank does much the same), or train eagerly"
            )
