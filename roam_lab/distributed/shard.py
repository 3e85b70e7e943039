"""`roam.shard`, which leaves on each rank a part of every parameter of a model, and `roam.full_state_dict`, which puts
the parts together again."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist

from roam_lab.distributed.sharding import Group, group_of_shards, is_sharded, shard_module, wholes_of
from roam_lab.distributed.whole_gradients import count_all_ranks
from roam_lab.distributed.wrapper import is_replicated, refuse_other_wrappers
from roam_lab.errors import CaptureError, InputError, MismatchError


def shard(model: torch.nn.Module, process_group: Any = None) -> torch.nn.Module:
    """Keep on each rank its part of every parameter of `model`, which is changed and returned; call it on all ranks
    together, before the optimizer is made.

    Reading a parameter (`module.weight`) gathers the whole from all ranks; `model.parameters()`, the optimizer and
    `state_dict()` see this rank's parts: rows of the whole, padded with zeros to as many on every rank. Gradients are
    averaged over the ranks. `process_group`: the ranks; all of them by default. From the first call on,
    `torch.nn.utils.clip_grad_norm_`, `get_total_norm` and `torch.amp.GradScaler` look at the parts of all ranks.
    Optimizers have to update each entry by itself, as SGD and Adam do.

    Raises InputError for a model that cannot be sharded, and MismatchError on all ranks where two of them have
    different models.
    """
    if not (dist.is_available() and dist.is_initialized()):
        raise InputError(
            "roam.shard needs a process group; call torch.distributed.init_process_group before, in a script that "
            "torchrun starts"
        )
    _refuse(model)
    process_group = process_group or dist.group.WORLD
    group = Group(process_group.group_name, process_group.size(), process_group.rank())
    means = [(name, tuple(one.shape), str(one.dtype), one.requires_grad) for name, one in model.named_parameters()]
    models: list[Any] = [None] * group.ranks
    dist.all_gather_object(models, means, process_group)
    for rank, other in enumerate(models):
        if other != models[0]:
            raise MismatchError(f"rank {rank} has another model than rank 0; build the same on all ranks")
    parts: dict[int, torch.Size] = {}
    for module in model.modules():
        own = {name: one for name, one in module._parameters.items() if one is not None}
        if own or module is model:
            shard_module(module, group, own, parts)
    count_all_ranks()
    return model


def full_state_dict(model: torch.nn.Module) -> dict[str, Any]:
    """The `state_dict()` of a sharded `model` as it would be on one rank, for a checkpoint; called on all ranks
    together, which all get it. `load_state_dict` of a sharded model takes it, too. That of any other model is its
    own.

    Each tensor has the shape of the whole parameter, without padding. Raises nothing of its own; where a rank does not
    call it, the others get the process group's error after its timeout.
    """
    found: dict[str, Any] = model.state_dict()
    if not is_sharded(model):
        return found
    group = group_of_shards(model)
    whole: dict[int, torch.Tensor] = {}
    with torch.no_grad():
        for name, part, shape in wholes_of(model):
            if name in found:
                if id(part) not in whole:
                    whole[id(part)] = group.whole(part.detach(), shape).clone()
                found[name] = whole[id(part)]
    return found


def _refuse(model: torch.nn.Module) -> None:
    if not isinstance(model, torch.nn.Module):
        raise InputError(f"roam.shard was given a {type(model).__name__}; give the model, a torch.nn.Module")
    try:
        refuse_other_wrappers(model)
    except CaptureError as error:
        raise InputError(f"{error}; give roam.shard the plain model") from None
    for name, module in model.named_modules():
        where = name or type(module).__name__
        if is_sharded(module):
            raise InputError(f"{where} is sharded already; call roam.shard once, on the whole model")
        if is_replicated(module):
            raise InputError(f"{where} is a DistributedDataParallel; give roam.shard its .module")
        if isinstance(module, torch.nn.RNNBase):
            raise InputError(
                f"{where} is a {type(module).__name__}, which reads its parameters past their names and cannot be "
                "sharded; train it as DistributedDataParallel"
            )
        if isinstance(module, torch.jit.ScriptModule) or hasattr(module, "_orig_mod") or module._compiled_call_impl:
            raise InputError(f"{where} is compiled, which hides who reads a parameter; give roam.shard the plain model")
    for name, parameter in model.named_parameters():
        kind = type(parameter)
        if kind is not torch.nn.Parameter or type(parameter.data) is not torch.Tensor:
            raise InputError(f"the parameter {name} is a {kind.__name__}, which roam.shard cannot divide by rows")
        if not parameter.numel():
            raise InputError(f"the parameter {name} has no entries; leave it out of the model")
        if parameter.grad is not None:
            raise InputError(f"the parameter {name} has a gradient; call roam.shard before the first step")
