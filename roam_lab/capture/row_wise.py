"""Ops that work row by row: what a run of a few rows at a time, and a run in place, may be made of."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

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
"""Ops over one dimension -> which argument names it."""
_FOR_THE_FIRST_DIMENSION = {aten.nll_loss_backward.default}
_NORMS = {aten.native_layer_norm.default}
_FILLED_WHOLE = {*_OVER_LAST, aten.relu.default}
"""Not pointwise by their tag, or with a writer made by hand, and yet safe to write over what they read."""


@dataclass(frozen=True, slots=True)
class RowWise:
    """`rows` independent rows. `by_row`: the arguments that have as many; of the others each row reads all."""

    rows: int
    by_row: frozenset[Node]


def row_wise(node: Node) -> RowWise | None:
    """How an op works row by row on plain contiguous tensors; None where it does not."""
    target, results = node.target, tensors_of(node)
    if not isinstance(target, OpOverload) or ELSEWHERE in node.meta or not results:
        return None
    shape = tuple(results[0].shape)
    if target in _OVER_LAST:
        if not shape or node.args[_OVER_LAST[target]] not in (-1, len(shape) - 1):
            return None
        lead = shape[:-1]
    elif target in _FOR_THE_FIRST_DIMENSION:
        lead = shape[:1]
        if len(shape) != 2:
            return None
    elif target in _NORMS:
        lead = shape[: len(shape) - len(node.args[1])]  # type: ignore[arg-type]
    elif torch.Tag.pointwise in target.tags and len(results) == 1:
        lead = shape[:-1] if len(shape) > 1 else shape
    else:
        return None
    rows = math.prod(lead)
    if rows < 2 or not all(_plain(result) for result in results):
        return None
    by_row = set()
    for given in _given(node):
        tensor = tensors_of(given)[0]
        if not _plain(tensor):
            return None
        if _has_rows(tuple(tensor.shape), lead, shape):
            by_row.add(given)
        elif tensor.numel() > 1 and math.prod(tensor.shape[-len(shape) : -1][-len(lead) :]) != 1:
            return None
    return RowWise(rows, frozenset(by_row))


def rows_of(node: Node) -> int | None:
    """How many independent rows an op has; None where it does not work row by row."""
    found = row_wise(node)
    return None if found is None else found.rows


def reuse_of(node: Node) -> Iterator[tuple[int, int]]:
    """Pairs (created, read) of storages by key: an op's result may be written over what it read there.

    Both are one tensor of one form that fills its storage, and the op reads each entry, or each row, before it writes
    there, which holds for pointwise ops and softmax with a native `out=`.
    """
    target, results = node.target, tensors_of(node)
    if len(results) != 1 or not isinstance(target, OpOverload) or target._schema.is_mutable:
        return
    writer = find_writer(node)
    if writer is None or writer.function is None:
        return
    pointwise = torch.Tag.pointwise in target.tags and bool(writer.names)
    if not (pointwise or target in _FILLED_WHOLE) or (target in _OVER_LAST and rows_of(node) is None):
        return
    result = results[0]
    if not _fills(result):
        return
    for given in _given(node):
        tensor = tensors_of(given)[0]
        alike = (tensor.shape, tensor.stride(), tensor.dtype) == (result.shape, result.stride(), result.dtype)
        if alike and _fills(tensor) and storage_key(tensor) != storage_key(result):
            yield storage_key(result), storage_key(tensor)


def _given(node: Node) -> Iterator[Node]:
    """The arguments that are one tensor each, each once."""
    leaves = pytree.arg_tree_leaves(*node.args, **node.kwargs)
    for leaf in dict.fromkeys(leaf for leaf in leaves if isinstance(leaf, Node)):
        if len(tensors_of(leaf)) == 1:
            yield leaf


def _has_rows(shape: tuple[int, ...], lead: tuple[int, ...], whole: tuple[int, ...]) -> bool:
    """Whether a tensor of this shape has one row, or one number, for each of the rows."""
    return shape in (whole, lead) or shape == (*lead, *(1 for _ in whole[len(lead) :]))


def _plain(tensor: torch.Tensor) -> bool:
    return tensor.is_contiguous() and not tensor.is_conj() and not tensor.is_neg()


def _fills(tensor: torch.Tensor) -> bool:
    """Whether a tensor is all of its storage."""
    steps = sorted((step, size) for step, size in zip(tensor.stride(), tensor.shape, strict=True) if size != 1)
    dense = 1
    for step, size in steps:
        if step != dense:
            return False
        dense *= size
    whole = dense * tensor.element_size() == tensor.untyped_storage().nbytes()
    return whole and tensor.storage_offset() == 0
