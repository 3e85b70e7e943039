"""Writers: how the result of an op is written into existing tensors (views of the arena).

An op has a writer if ATen has a native `out=` overload for it, or if hand_made.py has one with the same bits. An op
without a writer allocates its own result: an *external* storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch.fx import Node

from roam_lab.capture.hand_made import (
    CPU_ONLY,
    EMPTY,
    REDUCING_LOSSES,
    SCALAR,
    SPECIAL,
    copied,
    fits_cpu,
    foreach_writer,
)
from roam_lab.capture.nodes import ELSEWHERE, OWN_RESULT
from roam_lab.capture.torch_internals import OpOverload, has_kernel, pytree

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Writer:
    """`function` fills given tensors with what the op would have returned.

    With `names` (an `out=` overload) the tensors are passed under these names, after the op's own arguments; without,
    they are the first argument, a sequence. `function` None: the op writes nothing (`empty`).
    """

    function: Callable[..., Any] | None
    names: tuple[str, ...] = ()


def find_writer(node: Node) -> Writer | None:
    """The writer for a traced op, or None where it has none."""
    if is_untrue(node) or ELSEWHERE in node.meta or OWN_RESULT in node.meta:
        return None
    return writer_for(node.target, node.args, node.meta.get("val"))


def writer_for(target: Any, args: Sequence[Any], value: Any) -> Writer | None:
    """The writer for an op by its arguments and its result `value`, or None."""
    if not isinstance(target, OpOverload) or target._schema.is_mutable:
        return None
    device = _device_type(value)
    if device is None or (device == "cuda" and _has_empty(value)):
        return None
    if target in EMPTY:
        return Writer(None)
    if target in SCALAR:
        return Writer(SCALAR[target], ("out",))
    if target in SPECIAL:
        return Writer(SPECIAL[target])
    if device == "cpu" and target in CPU_ONLY:
        return Writer(CPU_ONLY[target]) if fits_cpu(target, args, value) else None
    if target._schema.name.startswith("aten::_foreach_"):
        function = foreach_writer(target)
        return None if function is None else Writer(function)
    if target in REDUCING_LOSSES and value.dim() == 0:
        return Writer(copied(target))
    overload = out_overload(target, device)
    if overload is None:
        return None
    return Writer(overload, tuple(argument.name for argument in overload._schema.arguments if argument.is_out))


_untrue: dict[Any, set[tuple[Any, ...]]] = {}
"""(op, geometry of its arguments) where the writer was seen to give other bits than the op."""


def has_strides(tensor: torch.Tensor) -> bool:
    """Whether a tensor is an ordinary one, in one storage: not a sparse nor a nested one."""
    return tensor.layout is torch.strided and not tensor.is_nested


def geometry(leaves: Sequence[Any]) -> tuple[Any, ...]:
    """The geometry of an op's arguments: shape, strides and dtype of each tensor among them, in sequence."""
    return tuple(
        (tuple(leaf.shape), tuple(leaf.stride()), leaf.dtype) for leaf in leaves if isinstance(leaf, torch.Tensor)
    )


def note_untrue(target: Any, leaves: Sequence[Any]) -> None:
    """Note that the op's writer gives other bits on arguments of this geometry; from now on the op has none there."""
    _untrue.setdefault(target, set()).add(geometry(leaves))


def is_untrue(node: Node) -> bool:
    """Whether the writer of this node's op was seen in this process to give other bits on arguments of its geometry."""
    if node.target not in _untrue:
        return False
    leaves = pytree.arg_tree_leaves(*node.args, **node.kwargs)
    given = [leaf.meta.get("val") if isinstance(leaf, Node) else leaf for leaf in leaves]
    return geometry(given) in _untrue[node.target]


def _device_type(value: Any) -> str | None:
    values = value if isinstance(value, (list, tuple)) else [value]
    tensors = [value for value in values if isinstance(value, torch.Tensor)]
    return tensors[0].device.type if tensors else None


def _has_empty(value: Any) -> bool:
    """Whether one of several results has no elements: a buffer whose size only the real kernel knows."""
    values = value if isinstance(value, (list, tuple)) else []
    return any(isinstance(one, torch.Tensor) and one.numel() == 0 for one in values)


@cache
def out_overload(target: OpOverload, device: str) -> OpOverload | None:
    """The overload of the same op that takes `out=`, if the device has a kernel for it; else None.

    Generated overloads, which run the op and copy its result, do not count.
    """
    key = {"cpu": "CPU", "cuda": "CUDA"}.get(device)
    if key is None:
        return None
    wanted = [(a.name, str(a.type)) for a in target._schema.arguments]
    packet = target.overloadpacket
    for name in packet.overloads():
        overload = getattr(packet, name)
        outs = [a for a in overload._schema.arguments if a.is_out]
        given = [(a.name, str(a.type)) for a in overload._schema.arguments if not a.is_out]
        if not outs or given != wanted or len(outs) != len(target._schema.returns):
            continue
        full = f"{overload._schema.name}.{overload._schema.overload_name}"
        generated = torch.Tag.generated in overload.tags
        if not generated and has_kernel(full, key):
            return cast(OpOverload, overload)
    return None
