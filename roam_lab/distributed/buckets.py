"""Which gradients are exchanged together, as DistributedDataParallel decides it: sums are rounded by where a gradient
lies in its bucket, so the same bits need the same buckets."""

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
    """`buckets`: names of parameters of the wrapped module, bucket by bucket in the sequence of their exchange.

    `buffers`: names of the buffers that are taken from the first rank together, group by group.
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
    """Have the wrapper arrange its buckets, if its first step has shown it how; all ranks together. Returns whether
    they are what they will be; a model that is no wrapper has none."""
    if not is_replicated(model):
        return True
    if not is_settled(model):
        with buckets_seen(model):
            model._has_rebuilt_buckets = bool(model.reducer._rebuild_buckets())  # as its next forward would note
    return _remember(model)


def _remember(model: Any) -> bool:
    """Note the wrapper's own buckets, if it has them, before a step is traced or observed, which would see how."""
    if is_settled(model) and model not in _present:
        _present[model] = _of_reducer(model)
    return model in _present


def layout_of(model: Any) -> Layout:
    """Of the steps after the wrapper's first. Raises FirstStepError where nobody knows it yet."""
    buckets = _present.get(model) or _predicted.get(model)
    if buckets is None:
        raise FirstStepError(
            "DistributedDataParallel arranges gradients in buckets as they arrive in its first step; run one eager "
            "step on every rank before"
        )
    return Layout(buckets, _groups_of_buffers(model))


def in_one_bucket(model: Any) -> Layout:
    """All gradients in one bucket: to see in which sequence they arrive."""
    return Layout((tuple(_names(model)),), _groups_of_buffers(model))


def predict(model: Any, arrived: Sequence[str]) -> None:
    """Note the buckets that the wrapper will make of gradients that arrive in this sequence. All ranks together: the
    first rank's sequence is everybody's."""
    told: list[Any] = [list(arrived)]
    dist.broadcast_object_list(told, dist.get_global_rank(model.process_group, 0), group=model.process_group)
    named = dict(model.module.named_parameters())
    names: list[str] = told[0]
    cap = model.bucket_bytes_cap
    usual = [FIRST_BUCKET_BYTES if model.bucket_bytes_cap_default else cap, cap]
    limits = list(getattr(model, "bucket_bytes_cap_list", ())) or usual  # given since torch 2.13
    groups = assign_buckets([named[name] for name in names], limits, in_order=True)
    _predicted[model] = tuple(tuple(names[index] for index in group) for group in groups)


def buckets_known(model: Any) -> bool:
    """Whether a model is no DistributedDataParallel, or `layout_of` answers for it; all ranks together."""
    return settle(model) or model in _predicted


def _of_reducer(model: Any) -> Buckets:
    """The wrapper's own, asked once: its C++ lists the parameters of each bucket beside a copy of the bucket."""
    names = {id(parameter): name for name, parameter in model.module.named_parameters()}
    return tuple(
        tuple(names[id(parameter)] for parameter in bucket.parameters())
        for bucket in model.reducer._get_zeros_like_grad_buckets()
    )


def _names(model: Any) -> list[str]:
    """Of the parameters whose gradients are averaged."""
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
