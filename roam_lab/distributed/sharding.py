"""`roam.shard`: each rank holds a part of every parameter, and reading a parameter returns the whole.

The parts are plain parameters, rows of the whole along its first dimension, padded to the same number on every rank.
Reading `module.weight` gathers the parts of all ranks; in backward, gradients are added up over all ranks, divided by
their number, and each rank keeps its part. That is what `fully_shard` does where it is called on every module with
parameters of its own, with the same bits.
"""

from __future__ import annotations

import copy
import math
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch

from roam_lab.distributed.gathering import GATHER, REDUCE_SCATTER
from roam_lab.distributed.torch_internals import rows_by_rank
from roam_lab.errors import CaptureError, InputError

Shapes = dict[str, torch.Size]


@dataclass(frozen=True)
class Group:
    """The ranks that share a model. `name`: of their process group; `ranks`: how many; `rank`: this one's number."""

    name: str
    ranks: int
    rank: int

    def rows(self, whole: torch.Size) -> int:
        """How many rows each rank's part has, of a whole of this shape."""
        return math.ceil((whole[0] if whole else 1) / self.ranks)

    def part_shape(self, whole: torch.Size) -> tuple[int, ...]:
        """The shape of each rank's part."""
        return (self.rows(whole), *whole[1:])

    def part(self, whole: torch.Tensor) -> torch.Tensor:
        """A copy of this rank's rows, filled up with zeros where the whole has no more rows."""
        rows = self.rows(whole.shape)
        found = whole.reshape(-1, *whole.shape[1:])[self.rank * rows : (self.rank + 1) * rows]
        part = whole.new_zeros(self.part_shape(whole.shape))
        part[: found.shape[0]].copy_(found)
        return part

    def whole(self, part: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        """The whole of `shape`, gathered from the parts of all ranks; called by all of them together."""
        gathered: torch.Tensor = GATHER(part, self.ranks, self.name)
        return gathered[: shape[0] if shape else 1].view(shape)


class _Gather(torch.autograd.Function):
    """Parts -> wholes, each gathered by itself; their gradients are exchanged together, as `fully_shard` does."""

    @staticmethod
    def forward(ctx: Any, group: Group, shapes: tuple[torch.Size, ...], *parts: torch.Tensor) -> Any:
        ctx.group, ctx.shapes = group, shapes
        ctx.set_materialize_grads(False)
        return tuple(group.whole(part, shape) for part, shape in zip(parts, shapes, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> Any:
        group: Group = ctx.group
        there = [index for index, one in enumerate(gradients) if one is not None and ctx.needs_input_grad[2 + index]]
        found: list[torch.Tensor | None] = [None] * len(gradients)
        if there:
            wholes = [gradients[index].reshape(ctx.shapes[index] or (1,)) for index in there]  # type: ignore[union-attr]
            rows = rows_by_rank(wholes, 0, group.ranks)
            mine = REDUCE_SCATTER(rows.view(-1), group.ranks, group.name).div_(group.ranks)
            shapes = [group.part_shape(ctx.shapes[index]) for index in there]
            parts = mine.split([math.prod(shape) for shape in shapes])
            for index, part, shape in zip(there, parts, shapes, strict=True):
                found[index] = part.view(shape)
        return (None, None, *found)


class _Pass(threading.local):
    """`wholes`: what the running forward pass has gathered so far, by id of the part: (part, whole). None outside a
    forward pass."""

    wholes: dict[int, tuple[torch.Tensor, torch.Tensor]] | None = None


_pass = _Pass()


@contextmanager
def _gathered_once() -> Iterator[None]:
    """A context, one forward pass long, in which each parameter is gathered once however often it is read, so that its
    gradients are added up before they are exchanged."""
    if _pass.wholes is not None or not torch.is_grad_enabled():
        yield
        return
    _pass.wholes = {}
    try:
        yield
    finally:
        _pass.wholes = None


def _read(module: torch.nn.Module, name: str) -> torch.Tensor | None:
    """The whole of a module's parameter."""
    part = module._parameters[name]
    if part is None:
        return None
    wholes = _pass.wholes
    if wholes is not None and torch.is_grad_enabled():
        if id(part) not in wholes:
            _gather(module, [key for key, one in module._parameters.items() if id(one) not in wholes], wholes)
        return wholes[id(part)][1]
    gathered: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
    _gather(module, [name], gathered)
    return gathered[id(part)][1]


def _gather(module: torch.nn.Module, names: list[str], wholes: dict[int, tuple[torch.Tensor, torch.Tensor]]) -> None:
    group, shapes = _settings(module)
    parts: dict[str, torch.Tensor] = {}
    for name in names:
        part = module._parameters[name]
        if part is None or id(part) in {id(one) for one in parts.values()}:
            continue
        if name not in shapes or tuple(part.shape) != group.part_shape(shapes[name]):
            raise InputError(
                f"the parameter {name} of {type(module).__name__} was replaced after roam.shard, and is no part of a "
                "sharded one; write into the part that is there, or change the model before roam.shard"
            )
        parts[name] = part
    apply: Any = _Gather.apply
    found = apply(group, tuple(shapes[name] for name in parts), *parts.values())
    wholes.update({id(part): (part, whole) for part, whole in zip(parts.values(), found, strict=True)})


def _settings(module: torch.nn.Module) -> tuple[Group, Shapes]:
    found: tuple[Group, Shapes] = type(module)._roam_shards  # type: ignore[attr-defined]
    return found


class _Sharded:
    """A base class that is put before a module's own class, so that reading a parameter returns the whole."""

    _roam_shards: tuple[Group, Shapes]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with _gathered_once():
            return super().__call__(*args, **kwargs)  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        vars(twin).update(copy.deepcopy(vars(self), memo))
        sharded_modules.add(twin)  # type: ignore[arg-type]
        return twin

    def __getstate__(self) -> Any:
        raise InputError(
            "a sharded model cannot be pickled, for a part means nothing without its ranks; save its state_dict() on "
            "every rank, or roam.full_state_dict(model)"
        )

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Loads both wholes, as `full_state_dict` returns them, and parts."""
        group, shapes = self._roam_shards
        loaded = dict(state_dict)
        for name, shape in shapes.items():
            value = loaded.get(prefix + name)
            if isinstance(value, torch.Tensor) and value.shape == shape:
                loaded[prefix + name] = group.part(value)
        super()._load_from_state_dict(loaded, prefix, *rest)  # type: ignore[misc]


sharded_modules: weakref.WeakSet[torch.nn.Module] = weakref.WeakSet()
"""Every sharded module that is alive."""


def is_sharded(model: Any) -> bool:
    """Whether `roam.shard` was called on the model."""
    return isinstance(model, _Sharded)


def group_of_shards(model: Any) -> Group:
    """The ranks that share a sharded model."""
    return _settings(model)[0]


_ACROSS_ENTRIES = ("Adafactor", "LBFGS", "Muon")


def refuse_unsharded(model: Any, optimizers: Iterable[torch.optim.Optimizer]) -> None:
    """Raises CaptureError for optimizers of torch that look at a whole gradient, where each rank has a part of it."""
    for optimizer in optimizers if is_sharded(model) else ():
        if type(optimizer).__name__ in _ACROSS_ENTRIES:
            raise CaptureError(
                f"{type(optimizer).__name__} looks at whole gradients, and each rank of a sharded model has a part; "
                "use AdamW or SGD, or wrap the model in DistributedDataParallel"
            )


def wholes_of(model: torch.nn.Module) -> Iterator[tuple[str, torch.Tensor, torch.Size]]:
    """(name, part, shape of the whole) of each parameter of a sharded model; a shared one comes under each name."""
    for prefix, module in model.named_modules(remove_duplicate=False):
        if is_sharded(module):
            for name, shape in _settings(module)[1].items():
                yield f"{prefix}.{name}" if prefix else name, module._parameters[name], shape


def shard_module(
    module: torch.nn.Module, group: Group, own: dict[str, torch.nn.Parameter], done: dict[int, torch.Size]
) -> None:
    """Replace a module's own parameters, without those of its children, by this rank's parts. `done`: id of each
    parameter that is a part already -> shape of its whole; the new ones are added to it."""
    for parameter in own.values():
        if id(parameter) not in done:
            done[id(parameter)] = parameter.shape
            parameter.data = group.part(parameter.data)
    shapes = {name: done[id(parameter)] for name, parameter in own.items()}
    kind = type(module)
    readers = {name: property(partial(_read, name=name)) for name in shapes}
    named = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    module.__class__ = type(kind.__name__, (_Sharded, kind), {**readers, **named, "_roam_shards": (group, shapes)})
    sharded_modules.add(module)
