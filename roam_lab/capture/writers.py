"""Writers: how the result of an op is written into tensors that are already there (views of the arena).

An op has a writer when ATen has a native `out=` overload for it, or when it can be put together from ops that
write in place, bit for bit the same. What has none allocates its own result: an *external* storage.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, cast

import torch
from torch.fx import Node

from roam_lab.capture.nodes import ELSEWHERE
from roam_lab.capture.torch_internals import OpOverload, has_kernel, pytree

aten = torch.ops.aten


@dataclass(frozen=True, slots=True)
class Writer:
    """`function` fills given tensors with what the op would have returned.

    With `names` (an `out=` overload) they are passed under these names, after the op's own arguments; without,
    they are the first argument, a sequence. `function` None: nothing has to be written (`empty`).
    """

    function: Callable[..., Any] | None
    names: tuple[str, ...] = ()


def find_writer(node: Node) -> Writer | None:
    """The writer for a traced op, or None when its result cannot be given a place."""
    if is_untrue(node) or ELSEWHERE in node.meta:
        return None
    return writer_for(node.target, node.args, node.meta.get("val"))


def writer_for(target: Any, args: Sequence[Any], value: Any) -> Writer | None:
    """The writer for an op by its arguments and its result `value`, or None."""
    if not isinstance(target, OpOverload) or target._schema.is_mutable:
        return None
    device = _device_type(value)
    if device is None or (device == "cuda" and _has_empty(value)):
        return None
    if target in _EMPTY:
        return Writer(None)
    if target in _SCALAR:
        return Writer(_SCALAR[target], ("out",))
    if target in _SPECIAL:
        return Writer(_SPECIAL[target])
    if device == "cpu" and target in _CPU_ONLY:
        return Writer(_CPU_ONLY[target]) if _fits_cpu(target, args, value) else None
    if target._schema.name.startswith("aten::_foreach_"):
        function = _foreach_writer(target)
        return None if function is None else Writer(function)
    if target in REDUCING_LOSSES and value.dim() == 0:
        return Writer(_reduced(target))
    overload = out_overload(target, device)
    if overload is None:
        return None
    return Writer(overload, tuple(argument.name for argument in overload._schema.arguments if argument.is_out))


_untrue: dict[Any, set[tuple[Any, ...]]] = {}
"""Ops, by the geometry of their arguments, whose writer was seen to give other bits than the op."""


def geometry(leaves: Sequence[Any]) -> tuple[Any, ...]:
    """Shape, strides and type of each tensor among an op's arguments, in sequence."""
    return tuple(
        (tuple(leaf.shape), tuple(leaf.stride()), leaf.dtype) for leaf in leaves if isinstance(leaf, torch.Tensor)
    )


def note_untrue(target: Any, leaves: Sequence[Any]) -> None:
    """From now on the op allocates its own result on arguments of this geometry."""
    _untrue.setdefault(target, set()).add(geometry(leaves))


def is_untrue(node: Node) -> bool:
    """Whether the writer of this very op, on arguments of its geometry, was seen to be untrue in this process."""
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
    """A result without entries among others: the fake of a reserve or workspace whose size the kernel alone knows."""
    values = value if isinstance(value, (list, tuple)) else []
    return any(isinstance(one, torch.Tensor) and one.numel() == 0 for one in values)


@cache
def out_overload(target: OpOverload, device: str) -> OpOverload | None:
    """The overload of the same op that takes `out=`, if the device has a kernel of its own for it.

    Generated ones, which run the op and copy its result, do not count.
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


def _copy(outs: Sequence[torch.Tensor], source: torch.Tensor, *_: Any, **__: Any) -> None:
    outs[0].copy_(source)


def _zero(outs: Sequence[torch.Tensor], *_: Any, **__: Any) -> None:
    outs[0].zero_()


def _one(outs: Sequence[torch.Tensor], *_: Any, **__: Any) -> None:
    outs[0].fill_(1)


def _fill_second(outs: Sequence[torch.Tensor], _like: Any, value: Any, *_: Any, **__: Any) -> None:
    outs[0].fill_(value)


def _fill_third(outs: Sequence[torch.Tensor], _like: Any, _size: Any, value: Any, *_: Any, **__: Any) -> None:
    outs[0].fill_(value)


def _fill_first(outs: Sequence[torch.Tensor], value: Any, *_: Any, **__: Any) -> None:
    outs[0].fill_(value)


def _scalar(function: Callable[..., torch.Tensor]) -> Callable[..., Any]:
    """`aten.add.Scalar` wraps its number as a tensor and calls the tensor form, as the Python function does."""

    def write(outs: Sequence[torch.Tensor], source: torch.Tensor, number: Any, alpha: Any = 1) -> None:
        if alpha == 1:
            function(source, number, out=outs[0])
        else:
            function(source, number, alpha=alpha, out=outs[0])

    return write


def _arange(outs: Sequence[torch.Tensor], end: Any, **_: Any) -> None:
    torch.arange(end, out=outs[0])


def _relu(outs: Sequence[torch.Tensor], source: torch.Tensor) -> None:
    """ATen's own relu is this."""
    aten.clamp_min.out(source, 0, out=outs[0])


def _stack(outs: Sequence[torch.Tensor], sources: Sequence[torch.Tensor], dim: int = 0) -> None:
    torch.stack(tuple(sources), dim, out=outs[0])


def _sum(outs: Sequence[torch.Tensor], source: torch.Tensor, dtype: torch.dtype | None = None) -> None:
    """Over all dimensions, as ATen's own calls it."""
    aten.sum.IntList_out(source, [], False, dtype=dtype, out=outs[0])


def _mean(outs: Sequence[torch.Tensor], source: torch.Tensor, dtype: torch.dtype | None = None) -> None:
    aten.mean.out(source, [], False, dtype=dtype, out=outs[0])


def _masked_fill(outs: Sequence[torch.Tensor], source: torch.Tensor, mask: torch.Tensor, value: Any) -> None:
    outs[0].copy_(source).masked_fill_(mask, value)


def _slice_backward(
    outs: Sequence[torch.Tensor], gradient: torch.Tensor, _sizes: Any, dim: int, start: int, end: int, step: int
) -> None:
    aten.slice.Tensor(outs[0].zero_(), dim, start, end, step).copy_(gradient)


def _select_backward(outs: Sequence[torch.Tensor], gradient: torch.Tensor, _sizes: Any, dim: int, index: int) -> None:
    outs[0].zero_().select(dim, index).copy_(gradient)


def _constant_pad(outs: Sequence[torch.Tensor], source: torch.Tensor, pad: Sequence[int], value: Any = 0) -> None:
    inner, cut = outs[0].fill_(value), source
    for pair in range(len(pad) // 2):
        dim, (low, high) = source.dim() - 1 - pair, pad[2 * pair : 2 * pair + 2]
        inner = inner.narrow(dim, max(low, 0), inner.shape[dim] - max(low, 0) - max(high, 0))
        cut = cut.narrow(dim, max(-low, 0), cut.shape[dim] - max(-low, 0) - max(-high, 0))
    inner.copy_(cut)


def _embedding(outs: Sequence[torch.Tensor], weight: torch.Tensor, indices: torch.Tensor, *_: Any) -> None:
    """ATen's own embedding is an index_select."""
    width = weight.shape[1]
    torch.index_select(weight, 0, indices.reshape(-1), out=outs[0].view(-1, width))


def _embedding_backward(
    outs: Sequence[torch.Tensor], gradient: torch.Tensor, indices: torch.Tensor, _rows: int, padding: int, _scale: bool
) -> None:
    """Rows are added in index order, as ATen's CPU kernel does, so sums round alike."""
    out = outs[0].zero_()
    out.index_add_(0, indices.reshape(-1), gradient.reshape(-1, out.shape[1]))
    if 0 <= padding < out.shape[0]:
        out[padding].zero_()


@cache
def _reduced(target: OpOverload) -> Callable[..., Any]:
    def write(outs: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        outs[0].copy_(target(*args, **kwargs))

    return write


def _fits_cpu(target: Any, args: Sequence[Any], value: Any) -> bool:
    """embedding backward: not with frequency scaling, and not in half precision, where ATen sums in another way."""
    if target is aten.embedding_dense_backward.default:
        return args[4] is False and value.dtype in (torch.float32, torch.float64)
    return True


@cache
def _foreach_writer(target: OpOverload) -> Callable[..., Any] | None:
    """A foreach op: copy its first argument, then the same op in place (the same kernel)."""
    packet = getattr(aten, target._schema.name.removeprefix("aten::") + "_", None)
    if packet is None or target._overloadname not in packet.overloads():
        return None
    in_place = getattr(packet, target._overloadname)

    def write(outs: Sequence[torch.Tensor], first: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        if len(outs) == 1:
            outs[0].copy_(first[0])
        else:
            aten._foreach_copy_.default(list(outs), list(first))
        in_place(list(outs), *args, **kwargs)

    return write


REDUCING_LOSSES = {
    aten.binary_cross_entropy.default,
    aten.huber_loss.default,
    aten.mse_loss.default,
    aten.smooth_l1_loss.default,
    aten.soft_margin_loss.default,
}
"""They write the unreduced loss into their result first, whose storage stays as large while it lives; an output would
leave its place."""
_EMPTY = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
}
_SCALAR: dict[Any, Callable[..., Any]] = {aten.mul.Scalar: torch.mul, aten.div.Scalar: torch.div}
_SPECIAL: dict[Any, Callable[..., Any]] = {
    aten.add.Scalar: _scalar(torch.add),
    aten.sub.Scalar: _scalar(torch.sub),
    aten.arange.default: _arange,
    aten.clone.default: _copy,
    aten._to_copy.default: _copy,
    aten.lift_fresh_copy.default: _copy,
    aten.zeros.default: _zero,
    aten.zeros_like.default: _zero,
    aten.new_zeros.default: _zero,
    aten.ones.default: _one,
    aten.ones_like.default: _one,
    aten.new_ones.default: _one,
    aten.full_like.default: _fill_second,
    aten.full.default: _fill_second,
    aten.new_full.default: _fill_third,
    aten.scalar_tensor.default: _fill_first,
    aten.masked_fill.Scalar: _masked_fill,
    aten.masked_fill.Tensor: _masked_fill,
    aten.slice_backward.default: _slice_backward,
    aten.select_backward.default: _select_backward,
    aten.constant_pad_nd.default: _constant_pad,
    aten.embedding.default: _embedding,
    aten.relu.default: _relu,
    aten.stack.default: _stack,
    aten.sum.default: _sum,
    aten.mean.default: _mean,
}
_CPU_ONLY: dict[Any, Callable[..., Any]] = {
    aten.embedding_dense_backward.default: _embedding_backward,
}
