"""The sequence length of a batch, and the same batch at another length."""

from __future__ import annotations

from collections import Counter
from typing import Any

import torch

from roam_lab.capture.batch_size import batch_size_of, repeated
from roam_lab.capture.inputs import batch_leaves, mapped
from roam_lab.errors import InputError


def sequence_length_of(batch: Any) -> int | None:
    """The sequence length: the second dimension of most of the batch's integer tensors of shape (batch size, tokens).

    None where there is no such tensor (images), or where the length is 1.
    """
    try:
        rows = batch_size_of(batch)
    except InputError:
        return None
    lengths = Counter(leaf.shape[1] for leaf in batch_leaves(batch) if _holds_tokens(leaf, rows))
    length = lengths.most_common(1)[0][0] if lengths else 1
    return None if length == 1 else int(length)


def with_sequence_length(batch: Any, length: int) -> Any:
    """The batch with sequences of `length` tokens: its tokens repeated, or cut off.

    Every tensor whose second dimension is the sequence length is changed, and masks whose last two dimensions are.
    Raises InputError for a batch without sequences, or a length below 1.
    """
    present = sequence_length_of(batch)
    if present is None or length < 1:
        raise InputError(f"a sequence length of {length} cannot be given to this batch")
    rows = batch_size_of(batch)

    def follows(leaf: Any) -> Any:
        if not isinstance(leaf, torch.Tensor) or leaf.dim() < 2 or leaf.shape[0] not in (1, rows):
            return leaf
        at = {1} if leaf.shape[1] == present else set()
        if leaf.dim() > 2 and leaf.shape[-1] == leaf.shape[-2] == present:
            at |= {leaf.dim() - 2, leaf.dim() - 1}
        for dimension in sorted(at):
            leaf = repeated(leaf, dimension, length)
        return leaf

    return mapped(follows, batch)


def longest_sequence(model: torch.nn.Module) -> int | None:
    """The number of positions in the model's `config` (as transformers have it); None where it is not known."""
    most = getattr(getattr(model, "config", None), "max_position_embeddings", None)
    return most if isinstance(most, int) and most > 0 else None


def _holds_tokens(leaf: Any, rows: int) -> bool:
    if not isinstance(leaf, torch.Tensor) or leaf.dim() != 2 or leaf.shape[0] != rows:
        return False
    return not (leaf.dtype.is_floating_point or leaf.dtype.is_complex)
