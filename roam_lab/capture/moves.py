"""Ops that only move data (views and copies). Autograd runs other ones of them in a trace than in eager.

After a write into a view, eager autograd computes the view's gradient by `as_strided`, but on fakes by the views that
the user took. The values are the same, the copies that are made on the way are not.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.host_values import READ
from roam_lab.capture.torch_internals import OpOverload

MOVED: int = -2
"""Stands in place of a position in the log for an op that only moves data and that eager did not run."""

_BACKWARD = frozenset(
    f"aten.{name}"
    for name in (
        "new_zeros.default", "new_empty_strided.default", "new_empty.default", "zeros.default",
        "empty_strided.default", "empty.memory_format", "zero_.default", "copy_.default", "clone.default",
        "slice_backward.default", "select_backward.default", "diagonal_backward.default", "_unsafe_view.default",
    )
)  # fmt: skip


def is_view(op: Any) -> bool:
    """Whether an op (or its name) only returns a view of its argument."""
    if isinstance(op, str):
        op = op_named(op)
    if not isinstance(op, OpOverload) or op._schema.is_mutable:
        return False
    return any(one.alias_info is not None for one in op._schema.returns)


def moves(target: str, backward: bool) -> bool:
    """Whether the op of this name only moves data. `backward`: it runs in a backward pass, where copies count, too."""
    return is_view(target) or (backward and target in _BACKWARD)


def writes(target: str) -> bool:
    """Whether an op that moves data writes it into its first argument."""
    return target in ("aten.copy_.default", "aten.zero_.default")


def has_effect(op: Any) -> bool:
    """Whether an op (or its name) writes a tensor, draws random numbers, or raises depending on a tensor's values."""
    if isinstance(op, str):
        op = op_named(op)
    if not isinstance(op, OpOverload):
        return False
    draws = torch.Tag.nondeterministic_seeded in op.tags
    return bool(op._schema.is_mutable) or draws or writes_statistics(op) or is_check(op)


def is_check(op: Any) -> bool:
    """Whether an op returns nothing, and only raises where a tensor's values are wrong (a singular matrix is
    inverted)."""
    return isinstance(op, OpOverload) and not op._schema.returns and op.overloadpacket in _CHECKS


def writes_statistics(op: OpOverload) -> bool:
    """Whether an op writes running statistics in training, which its schema does not say."""
    return op.overloadpacket in _WRITE_STATISTICS


@functools.cache
def op_named(target: str) -> Any:
    """The op of a name as `Op.target` gives it; None where there is none."""
    found: Any = torch.ops
    for part in target.split("."):
        found = getattr(found, part, None)
    return found


_CHECKS = {
    getattr(torch.ops.aten, name)
    for name in ("_linalg_check_errors", "_assert_async", "_assert_scalar")
    if hasattr(torch.ops.aten, name)
}
_WRITE_STATISTICS = {
    getattr(torch.ops.aten, name)
    for name in (
        "native_batch_norm", "cudnn_batch_norm", "miopen_batch_norm",
        "batch_norm_update_stats", "batch_norm_gather_stats", "batch_norm_gather_stats_with_counts",
    )
    if hasattr(torch.ops.aten, name)
}  # fmt: skip


def must_stay(node: Node) -> bool:
    """Whether a node must stay without users: those that write, draw random numbers, or are inputs and outputs."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    if node.target is READ:
        return True  # with a log it may be in a condition; the graph is to be the same without one
    return has_effect(node.target) and not str(node.target).startswith("profiler.")
