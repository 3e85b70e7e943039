"""An op that has a kernel of its own stays one op of the trace, though it could be taken apart.

Eager runs the kernel. Some versions of torch trace such an op (SiLU's backward, Mish's) as the ops that it is made of
elsewhere, whose bits are others.
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
    """While a step is traced."""
    original = OpOverload.decompose

    def decompose(op: OpOverload, *args: Any, **kwargs: Any) -> Any:
        return NotImplemented if _has_kernel(op, args, kwargs) else original(op, *args, **kwargs)

    with replaced([(OpOverload, "decompose", decompose)]):
        yield


def _has_kernel(op: OpOverload, args: Any, kwargs: Any) -> bool:
    devices = {leaf.device.type for leaf in pytree.arg_tree_leaves(*args, **kwargs) if isinstance(leaf, torch.Tensor)}
    return any(has_kernel(op.name(), device.upper()) for device in devices)
