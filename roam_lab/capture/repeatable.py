"""Pure ops: run again on the same inputs they give the same bits, and change nothing else."""

from __future__ import annotations

from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture.moves import is_check, writes_statistics
from roam_lab.capture.nodes import ELSEWHERE, tensors_of
from roam_lab.capture.torch_internals import OpOverload

SIDE_ARGUMENTS = ("running_mean", "running_var")
"""Arguments that batch norm in training writes and does not read."""


def is_pure(node: Node) -> bool:
    """Whether the op draws no random numbers, writes no tensor, raises on no value, and returns tensors.

    Batch norm in training counts as pure: where it is run again, only the first run updates its running statistics.
    """
    target = node.target
    if not isinstance(target, OpOverload) or ELSEWHERE in node.meta or not tensors_of(node):
        return False
    return not (target._schema.is_mutable or is_check(target) or draws_random(node))


def draws_random(node: Node) -> bool:
    """Whether the op draws random numbers; attention without dropout draws none, though it has the tag."""
    target = node.target
    if not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags:
        return False
    arguments = target._schema.arguments
    defaults = {argument.name: argument.default_value for argument in arguments if argument.has_default_value()}
    named = dict(zip((argument.name for argument in arguments), node.args, strict=False))
    given: dict[str, Any] = {**defaults, **named, **node.kwargs}
    return bool(given.get("dropout_p") != 0.0)


def updates_on_the_side(node: Node) -> bool:
    """Whether a pure op updates tensors that it does not read, as batch norm does its running statistics."""
    return isinstance(node.target, OpOverload) and writes_statistics(node.target)
