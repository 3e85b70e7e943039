"""Keeps an op that has a kernel of its own as one op of the trace.

Eager runs the kernel. Some versions of torch trace such an op (the backward of SiLU and of Mish) as several ops, its
decomposition, which gives other bits.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from roam_lab.capture.replaced import replaced
from roam_lab.capture.torch_internals import OpOverload, has_kernel, pytree


@contextmanager
def ops_kept_whole() -> Iterator[None]:
    """A context for tracing a step, in which ops with a kernel for their device are not decomposed."""
    original = OpOverload.decompose

    def decompose(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented if _has_kernel(op, args, kwargs) else original(op, *args, **kwargs)

    with replaced([(OpOverload, "decompose", decompose)]):
        yield


def _has_kernel(op: OpOverload, args: Any, kwargs: Any) -> bool:
    devices = {leaf.device.type for leaf in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(leaf, torch.Tensor)}
    return any(has_kernel(op.name(), device.upper()) for device in devices)
