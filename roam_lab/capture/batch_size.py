"""The batch size of a batch, and the same batch at another size."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch

from roam_lab.capture.inputs import batch_leaves, mapped
from roam_lab.errors import InputError

MOST_BYTES = 64 * 2**20
"""A repeated tensor of more bytes has no values: it is on the meta device (see `repeated`)."""


def batch_size_of(batch: Any) -> int:
    """The leading dimension that the batch's tensors share. Raises InputError if they share none."""
    leading = Counter(leaf.shape[0] for leaf in batch_leaves(batch) if _has_rows(leaf))
    if not leading:
        raise InputError("the batch holds no tensor with a leading dimension, so it has no batch size to vary")
    size, votes = leading.most_common(1)[0]
    if votes <= sum(leading.values()) / 2:
        sizes = ", ".join(str(size) for size in sorted(leading))
        raise InputError(f"the batch's tensors have different leading dimensions ({sizes}); which is the batch size?")
    return int(size)


def resized(batch: Any, size: int) -> Any:
    """The batch with `size` rows: its rows repeated, or cut off. Tensors with another leading dimension stay.

    Raises InputError for a batch without a size, or a size below 1.
    """
    if size < 1:
        raise InputError(f"a batch size of {size} is none; give 1 or more")
    present = batch_size_of(batch)

    def rows(leaf: Any) -> Any:
        return repeated(leaf, 0, size) if _has_rows(leaf) and leaf.shape[0] == present else leaf

    return mapped(rows, batch)


def repeated(leaf: torch.Tensor, dimension: int, size: int) -> torch.Tensor:
    """The tensor with `size` entries along `dimension`: its entries repeated, or cut off.

    A result of more than MOST_BYTES, or of a tensor on the meta device, is on the meta device: a capture needs its
    shape alone. (Only a step that reads numbers out of it needs values, see capture/known_values.py.)
    """
    shape = (*leaf.shape[:dimension], size, *leaf.shape[dimension + 1 :])
    if leaf.is_meta or math.prod(shape) * leaf.element_size() > MOST_BYTES:
        return torch.empty(shape, dtype=leaf.dtype, device="meta", requires_grad=leaf.requires_grad)
    at = torch.arange(size, device=leaf.device) % leaf.shape[dimension]
    return leaf.detach().index_select(dimension, at).requires_grad_(leaf.requires_grad)


def _has_rows(leaf: Any) -> bool:
    return isinstance(leaf, torch.Tensor) and leaf.dim() > 0 and leaf.shape[0] > 0
