"""Which gradients DistributedDataParallel exchanges together. How a sum is rounded depends on where a gradient lies in
its bucket, so the same bits need the same buckets."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from roam_lab.distributed.bucket_memory import buckets_seen
from roam_lab.distributed.torch_internals import FIRST_BUCKET_BYTES, assign_buckets
from roam_lab.distributed.wrapper import is_replicated
from roam_lab.errors import FirstStepError


@dataclass(frozen=True)
class Layout:
    """`buckets`: for each bucket, in the sequence of their exchange, the names of its parameters in the wrapped module.

    `buffers`: for each group of buffers that is broadcast from the first rank in one call, their names.
    """

    buckets: tuple[tuple[str, ...], ...]
    buffers: tuple[tuple[str, ...], ...]


Buckets = tuple[tuple[str, ...], ...]

_predicted: weakref.WeakKeyDictionary[Any, Buckets] = weakref.WeakKeyDictionary()
_present: weakref.WeakKeyDictionary[Any, Buckets] = weakref.WeakKeyDictionary()


def is_settled(model: Any) -> bool:
    """Whether the wrapper has the buckets that it will have in every later step."""
    return bool(model._has_rebuilt_buckets or (model.find_unused_parameters and not model.static_graph))


def settle(model: Any) -> bool:
    """Have the wrapper arrange its buckets, if it has seen its first step; called by all ranks together.

    Returns whether the buckets are now those of every later step; True for a model that is no wrapper, and has none.
    """
    if not is_replicated(model):
        return True
    if not is_settled(model):
        with buckets_seen(model):
            model._has_rebuilt_buckets = bool(model.reducer._rebuild_buckets())  # as its next forward would note
    return _remember(model)


def _remember(model: Any) -> bool:
    """Note the wrapper's own buckets, if they are settled. Done before a step is traced or observed, as asking the
    wrapper for them runs ops. Returns whether they are known."""
    if is_settled(model) and model not in _present:
        _present[model] = _of_reducer(model)
    return model in _present


def layout_of(model: Any) -> Layout:
    """The layout in every step after the wrapper's first. Raises FirstStepError where it is not known yet."""
    buckets = _present.get(model) or _predicted.get(model)
    if buckets is None:
        raise FirstStepError(
            "DistributedDataParallel arranges gradients in buckets as they arrive in its first step; run one eager "
            "step on every rank before"
        )
    return Layout(buckets, _groups_of_buffers(model))


def in_one_bucket(model: Any) -> Layout:
    """A layout with all gradients in one bucket, for a step that only notes in which sequence they arrive."""
    return Layout((tuple(_names(model)),), _groups_of_buffers(model))


def predict(model: Any, arrived: Sequence[str]) -> None:
    """Note the buckets that the wrapper will make when gradients arrive in this sequence (names of parameters). Called
    by all ranks together; all take the first rank's sequence."""
    names_sent: list[Any] = [list(arrived)]
    dist.broadcast_object_list(names_sent, dist.get_global_rank(model.process_group, 0), group=model.process_group)
    named = dict(model.module.named_parameters())
    names: list[str] = names_sent[0]
    cap = model.bucket_bytes_cap
    usual = [FIRST_BUCKET_BYTES if model.bucket_bytes_cap_default else cap, cap]
    limits = list(getattr(model, "bucket_bytes_cap_list", ())) or usual  # given since torch 2.13
    groups = assign_buckets([named[name] for name in names], limits, in_order=True)
    _predicted[model] = tuple(tuple(names[index] for index in group) for group in groups)


def buckets_known(model: Any) -> bool:
    """Whether `layout_of` returns a layout for `model`, or it is no DistributedDataParallel and needs none. Called by
    all ranks together."""
    return settle(model) or model in _predicted


def _of_reducer(model: Any) -> Buckets:
    """The wrapper's own buckets. Asked once only, because its C++ allocates a copy of each bucket to answer."""
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    return tuple(
        tuple(names[id(parameter)] for parameter in bucket.parameters())
        for bucket in model.reducer._get_zeros_like_grad_buckets()
    )


def _names(model: Any) -> list[str]:
    """Names of the parameters whose gradients are averaged."""
    return [
        name
        for name, parameter in model.module.named_parameters()
        if parameter.requires_grad and name not in model.parameters_to_ignore
    ]


def _groups_of_buffers(model: Any) -> tuple[tuple[str, ...], ...]:
    if not model.broadcast_buffers:
        return ()
    named = [(name, one) for name, one in model.module.named_buffers() if name not in model.parameters_to_ignore]
    if not named:
        return ()
    groups = assign_buckets([one for _, one in named], [model.broadcast_bucket_size], in_order=False)
    return tuple(tuple(named[index][0] for index in group) for group in groups)
