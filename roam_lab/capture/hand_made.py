"""Writers put together from ops that write in place, bit for bit the same as the op: for those without an `out=` of
their own. Each is given the places of the results, then the op's own arguments."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch

from roam_lab.capture.torch_internals import OpOverload

aten = torch.ops.aten


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


def _safe_softmax(outs: Sequence[torch.Tensor], source: torch.Tensor, dim: int, dtype: Any = None) -> None:
    """A softmax, and zero where all along the dimension is masked, as ATen's own (aten/src/ATen/native/transformers/
    attention.cpp). Which rows those are is found first, because the result may lie over the source."""
    masked = source.amax(dim, keepdim=True) == -math.inf if source.numel() else None
    torch.softmax(source, dim, dtype=dtype, out=outs[0])
    if masked is not None:
        outs[0].masked_fill_(masked, 0.0)


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
def reduced(target: OpOverload) -> Callable[..., Any]:
    """A loss of REDUCING_LOSSES: its number alone goes to its place."""

    def write(outs: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        outs[0].copy_(target(*args, **kwargs))

    return write


def fits_cpu(target: Any, args: Sequence[Any], value: Any) -> bool:
    """Whether a writer of CPU_ONLY is the op. embedding backward: not with frequency scaling, and not in half
    precision, where ATen sums in another way."""
    if target is aten.embedding_dense_backward.default:
        return args[4] is False and value.dtype in (torch.float32, torch.float64)
    return True


@cache
def foreach_writer(target: OpOverload) -> Callable[..., Any] | None:
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
EMPTY = {
    aten.empty.memory_format,
    aten.empty_like.default,
    aten.empty_strided.default,
    aten.new_empty.default,
    aten.new_empty_strided.default,
}
SCALAR: dict[Any, Callable[..., Any]] = {aten.mul.Scalar: torch.mul, aten.div.Scalar: torch.div}
SPECIAL: dict[Any, Callable[..., Any]] = {
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
    aten._safe_softmax.default: _safe_softmax,
    aten.stack.default: _stack,
    aten.sum.default: _sum,
    aten.mean.default: _mean,
}
CPU_ONLY: dict[Any, Callable[..., Any]] = {
    aten.embedding_dense_backward.default: _embedding_backward,
}
