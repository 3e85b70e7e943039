"""The batch size of a batch, and the same batch at another size."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from roam_lab.capture.torch_internals import pytree
from roam_lab.errors import InputError


def batch_size_of(batch: Any) -> int:
    """The leading dimension that the batch's tensors share. Raises InputError if they share none."""
    leading = Counter(leaf.shape[0] for leaf in pytree.tree_leaves(batch) if _has_rows(leaf))
    if not leading:
        raise InputError("the batch holds no tensor with a leading dimension, so it has no batch size to vary")
    size, votes = leading.most_common(1)[0]
    if votes <= sum(leading.values()) / 2:
        told = ", ".join(str(size) for size in sorted(leading))
        raise InputError(f"the batch's tensors have different leading dimensions ({told}); which is the batch size?")
    return int(size)


def resized(batch: Any, size: int) -> Any:
    """The batch with `size` rows: its own, repeated in turn. Tensors of another leading dimension stay.

    Raises InputError for a batch without a size, or a size below 1.
    """
    if size < 1:
        raise InputError(f"a batch size of {size} is none; give 1 or more")
    present = batch_size_of(batch)

    def rows(leaf: Any) -> Any:
        if not _has_rows(leaf) or leaf.shape[0] != present:
            return leaf
        if leaf.is_meta:
            return torch.empty((size, *leaf.shape[1:]), dtype=leaf.dtype, device="meta")
        return leaf.detach()[torch.arange(size, device=leaf.device) % present].requires_grad_(leaf.requires_grad)

    return pytree.tree_map(rows, batch)


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.dim() > 0 and leaf.shape[0] > 0
