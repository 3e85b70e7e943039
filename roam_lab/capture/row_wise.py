"""Row-wise ops: which ops can run a few rows at a time, and which can write their result over an operand."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.nodes import ELSEWHERE, storage_key, tensors_of
from roam_lab.capture.torch_internals import OpOverload, pytree
from roam_lab.capture.writers import find_writer

aten = torch.ops.aten

_OVER_LAST = {
    aten._softmax.default: 1,
    aten._log_softmax.default: 1,
    aten._safe_softmax.default: 1,
    aten._softmax_backward_data.default: 2,
    aten._log_softmax_backward_data.default: 2,
}
"""Ops over one dimension -> the index of the argument that names it."""
_LOSSES = {aten.nll_loss_backward.default}
_NORMS = {aten.native_layer_norm.default}
_IN_PLACE_THOUGH_BY_HAND = {*_OVER_LAST, aten.relu.default}
"""Ops that may write their result over what they read, though they have no pointwise tag, or a writer of
hand_made.py."""

_EXACT = (
    "abs", "add", "clone", "copy", "div", "eq", "fill", "ge", "gt", "le", "lt", "masked_fill", "maximum", "minimum",
    "mul", "ne", "neg", "reciprocal", "relu", "sqrt", "sub", "threshold_backward", "where", "zero",
)  # fmt: skip
_ALIKE_IN_TAILS = frozenset((*_EXACT, "exp", "log", "tanh"))
"""Pointwise CPU kernels that give an entry the same bits wherever it is. Others (`sigmoid`, `gelu`) compute the last
few entries of each piece of memory, fewer than fill a vector register, by scalar code that rounds differently."""
_ALIKE_IN_FULL_PRECISION = frozenset({"addcdiv", "addcmul", "lerp"})
"""Further ones for which this holds in float32 and float64 only."""

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RowWise:
    """How an op is run on some of its `rows` independent rows. `forms`: argument -> the shape in which it is passed for
    all rows; its first dimension is the rows. `whole`: argument that every row reads as a whole -> the shape in which
    it is passed. `results`: the shapes of the results. `arguments`: index -> other value of a plain argument, such as a
    dimension, as there are fewer dimensions.
    """

    rows: int
    forms: Mapping[Node, Shape]
    whole: Mapping[Node, Shape]
    results: tuple[Shape, ...]
    arguments: Mapping[int, Any]


def row_wise(node: Node) -> RowWise | None:
    """How the op of a node is run row by row; None where it cannot be: its tensors must be contiguous, and it must have
    a writer."""
    target, results = node.target, tensors_of(node)
    if not isinstance(target, OpOverload) or ELSEWHERE in node.meta or not results:
        return None
    if not target._schema.is_mutable and (find_writer(node) is None or not all(map(_plain, results))):
        return None
    shape = tuple(results[0].shape)
    arguments: dict[int, Any] = {}
    if target in _OVER_LAST:
        place = _OVER_LAST[target]
        if len(shape) < 2 or node.args[place] not in (-1, len(shape) - 1):
            return None
        lead, arguments = shape[:-1], {place: 1}
    elif target in _LOSSES:
        lead = shape[:1]
        if len(shape) != 2:
            return None
    elif target in _NORMS:
        lead = shape[:-1]
        if list(node.args[1]) != list(shape[-1:]):  # type: ignore[arg-type]
            return None
    elif torch.Tag.pointwise in target.tags and len(results) == 1 and _plain(results[0]) and _is_alike_in_tails(node):
        lead = shape[:-1] if len(shape) > 1 else shape
    else:
        return None
    rows, tail = math.prod(lead), shape[len(lead) :]
    if rows < 2 or not math.prod(tail):
        return None
    forms: dict[Node, Shape] = {}
    whole: dict[Node, Shape] = {}
    for given in _given(node):
        tensor = tensors_of(given)[0]
        if not _plain(tensor):
            return None
        own = tuple(tensor.shape)
        if own == shape:
            forms[given] = (rows, *tail)
        elif own == (*lead, 1) or (own == lead and target in _LOSSES):  # else it would be broadcast over rows
            forms[given] = (rows, *own[len(lead) :])
        elif tensor.numel() == 1:
            whole[given] = (1,) if own else ()
        elif tail and tensor.numel() == math.prod(own[-1:]) and own[-1] in tail:
            whole[given] = own[-1:]
        else:
            return None
    made = tuple((rows, *(math.prod(result.shape[len(lead) :]) for _ in tail)) for result in results)
    return RowWise(rows, forms, whole, made, arguments)


def _is_alike_in_tails(node: Node) -> bool:
    """Whether a pointwise op gives each entry the same bits, however many others are computed in one call."""
    result = tensors_of(node)[0]
    if result.device.type != "cpu":
        return True  # one thread an entry
    name = node.target._schema.name.removeprefix("aten::").rstrip("_")  # type: ignore[union-attr]
    full = result.dtype in (torch.float32, torch.float64)
    scaled = name in ("add", "sub") and node.kwargs.get("alpha", 1) != 1
    return (name in _ALIKE_IN_TAILS and not scaled) or (name in _ALIKE_IN_FULL_PRECISION and full)


def rows_of(node: Node) -> int | None:
    """How many independent rows an op has; None where it does not work row by row."""
    found = row_wise(node)
    return None if found is None else found.rows


def reuse_of(node: Node) -> Iterator[tuple[int, int]]:
    """Pairs (created, read) of storage keys: the op may write the created result over the operand (`Op.reuse`).

    Both tensors have one shape, dtype and strides and fill their storages, and the op reads each entry, or each row,
    before it writes it; pointwise ops and softmax with a native `out=` do. The op must not also read that storage by
    another view, such as a transposed one.
    """
    target, results = node.target, tensors_of(node)
    if len(results) != 1 or not isinstance(target, OpOverload) or target._schema.is_mutable:
        return
    writer = find_writer(node)
    if writer is None or writer.function is None:
        return
    pointwise = torch.Tag.pointwise in target.tags and bool(writer.names)
    if not (pointwise or target in _IN_PLACE_THOUGH_BY_HAND) or (target in _OVER_LAST and row_wise(node) is None):
        return
    result = results[0]
    if not fills_its_storage(result):
        return
    given = [tensors_of(argument)[0] for argument in _given(node)]
    otherwise = {storage_key(tensor) for tensor in given if _form(tensor) != _form(result)}  # `x + x.T`, too
    for tensor in given:
        key = storage_key(tensor)
        if key not in otherwise and fills_its_storage(tensor) and key != storage_key(result):
            yield storage_key(result), key


def _given(node: Node) -> Iterator[Node]:
    """The nodes among the arguments that are single tensors, each once."""
    leaves = pytree.arg_tree_leaves(*node.args, **node.kwargs)
    for leaf in dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, Node)):
        if len(tensors_of(leaf)) == 1:
            yield leaf


def _form(tensor: torch.Tensor) -> tuple[object, ...]:
    return tensor.shape, tensor.stride(), tensor.dtype


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def fills_its_storage(tensor: torch.Tensor) -> bool:
    """Whether a tensor contains every element of its storage exactly once."""
    dense = 1
    for step, size in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if size != 1 and step != dense:
            return False
        dense *= size
    whole = dense * tensor.element_size() == tensor.untyped_storage().nbytes()
    return whole and tensor.storage_offset() == 0
