"""Writers for ops without an `out=` overload, put together from ops that write in place, with the same bits.

Each writer is called with the tensors to be written (`outs`), then with the op's own arguments.
"""

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
    """Sum over all dimensions, by the call that ATen makes."""
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
    """A softmax whose rows are zero where every entry is masked (-inf), as in
    aten/src/ATen/native/transformers/attention.cpp. These rows are found first, because the result may share the memory
    of the source."""
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
    """Rows are added in index order, as in ATen's CPU kernel, so that sums are rounded alike."""
    out = outs[0].zero_()
    out.index_add_(0, indices.reshape(-1), gradient.reshape(-1, out.shape[1]))
    if 0 <= padding < out.shape[0]:
        out[padding].zero_()


def fits_cpu(target: Any, args: Sequence[Any], value: Any) -> bool:
    """Whether the writer of an op in CPU_ONLY gives the op's bits for these arguments. Not so for embedding's backward
    with frequency scaling, or in half precision, where ATen sums in another way."""
    if target is aten.embedding_dense_backward.default:
        return args[4] is False and value.dtype in (torch.float32, torch.float64)
    return True


@cache
def copied(target: OpOverload) -> Callable[..., Any]:
    """A writer for an op that allocates its results, or more than them: runs it, and copies them."""

    def write(outs: Sequence[torch.Tensor], *args: Any, **kwargs: Any) -> None:
        made = target(*args, **kwargs)
        for out, one in zip(outs, [made] if isinstance(made, torch.Tensor) else made, strict=True):
            if out is not None:
                out.copy_(one)

    return write


@cache
def foreach_writer(target: OpOverload) -> Callable[..., Any] | None:
    """A writer for a foreach op: copies its first argument, then runs the in-place form (the same kernel). None where
    there is no such form."""
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
"""Losses that write the unreduced loss into their result first, which makes its storage larger; with `out=` they would
give the tensor other memory."""
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
COPIED = (
    aten.convolution.default,
    aten.convolution_backward.default,
    aten.native_batch_norm_backward.default,
    aten.native_layer_norm.default,
    aten.native_layer_norm_backward.default,
    aten.native_group_norm.default,
    aten.native_group_norm_backward.default,
    aten._scaled_dot_product_flash_attention_for_cpu.default,
    aten._scaled_dot_product_flash_attention_for_cpu_backward.default,
)
"""Ops without `out=` whose results are large. What an op allocates comes from malloc, which maps and unmaps blocks of
this size again and again; to copy them into the arena takes less time, and memory as planned."""


def is_copied(target: Any, device: str) -> bool:
    """Whether the writer of an op runs it and copies its results."""
    return device == "cpu" and target in COPIED


CPU_ONLY: dict[Any, Callable[..., Any]] = {
    aten.embedding_dense_backward.default: _embedding_backward,
    **{target: copied(target) for target in COPIED},
}
