"""What DistributedDataParallel does in a step, written as ops that can be captured.

Its own C++ copies each gradient into a bucket as it arrives, times 1 / ranks, and adds up a bucket over all ranks when
it is full; when backward is over it waits for all of them. Here the same happens in the same sequence by ops, so the
bits are the same. The gradients that the optimizer sees are views of the buckets.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from roam_lab.distributed import collectives
from roam_lab.distributed.buckets import Layout, in_one_bucket, layout_of, predict
from roam_lab.distributed.torch_internals import after_backward, buffers_unversioned, is_dense, moved_inputs
from roam_lab.distributed.wrapper import forget_marks, have_buffers_taken, is_replicated, takes_buffers
from roam_lab.errors import CaptureError


@contextmanager
def averaged_as_ops(model: Any) -> Iterator[None]:
    """A context in which a DistributedDataParallel `model` averages its gradients by ops that can be captured. Any
    other model is left as it is.

    Raises FirstStepError where its buckets are not known yet, and CaptureError where gradients are missing.
    """
    if not is_replicated(model):
        yield
        return
    with _as_ops(model, layout_of(model)):
        yield


@contextmanager
def arrivals_noted(model: Any) -> Iterator[None]:
    """A context for one real step of a DistributedDataParallel whose buckets are not known yet: it notes in which
    sequence gradients arrive, from which the buckets are then known. Entered by all ranks together. Raises CaptureError
    for a wrapper with static_graph=True."""
    if model.static_graph:
        raise CaptureError(
            "DistributedDataParallel with static_graph=True learns its graph in its first two steps, which have to be "
            "its own; run them eagerly on every rank, and profile then"
        )
    with _as_ops(model, in_one_bucket(model)) as exchange:
        yield
    predict(model, exchange.arrived)


_left: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()


def leaves_buffers_taken(model: Any) -> bool:
    """Whether, after the last step that ran as ops, the next forward pass copies the first rank's buffers."""
    return _left.get(model, False)


@contextmanager
def _as_ops(model: Any, layout: Layout) -> Iterator[Exchange]:
    exchange = Exchange(model, layout)
    takes = takes_buffers(model)
    original: Any = DistributedDataParallel.forward

    def forward(self: Any, *inputs: Any, **kwargs: Any) -> Any:
        return exchange.forward(*inputs, **kwargs) if self is model else original(self, *inputs, **kwargs)

    DistributedDataParallel.forward = forward  # type: ignore[method-assign]
    try:
        yield exchange
        exchange.check()
    finally:
        DistributedDataParallel.forward = original  # type: ignore[method-assign]
        exchange.disarm()
        forget_marks(model)
        _left[model] = takes_buffers(model)
        have_buffers_taken(model, takes)


@dataclass
class _Bucket:
    """Gradients that are exchanged together. `parameters`: by name. `flat`: all their gradients end to end, allocated
    when the first arrives. `views`: each gradient's part of `flat`. `filled`: names of those that have arrived."""

    parameters: dict[str, torch.Tensor]
    flat: torch.Tensor | None = None
    views: dict[str, torch.Tensor] = field(default_factory=dict)
    filled: set[str] = field(default_factory=set)

    def make(self) -> None:
        first = next(iter(self.parameters.values()))
        entries = sum(parameter.numel() for parameter in self.parameters.values())
        self.flat = torch.empty(entries, dtype=first.dtype, device=first.device)
        offset = 0
        for name, parameter in self.parameters.items():
            self.views[name] = _view(self.flat, parameter, offset)
            offset += parameter.numel()


def _view(flat: torch.Tensor, parameter: torch.Tensor, offset: int) -> torch.Tensor:
    """The view of a bucket that one gradient has, with the strides of its parameter; `offset` in elements."""
    if is_dense(parameter):
        return flat.as_strided(parameter.size(), parameter.stride(), offset)
    return flat.narrow(0, offset, parameter.numel()).view(parameter.size())


class Exchange:
    """What one wrapped model exchanges with the other ranks during one step. `arrived`: names of the parameters in the
    sequence in which their gradients arrived."""

    def __init__(self, model: Any, layout: Layout) -> None:
        self._model, self._layout = model, layout
        self._group: str = model.process_group.group_name
        self._share = 1.0 / model.process_group.size()
        self._handles: list[Any] = []
        self._buckets: list[_Bucket] = []
        self._next = 0
        self._begun = self._over = False
        self.arrived: list[str] = []

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """Runs in place of the wrapper's own `forward`, with the same arguments and result."""
        model = self._model
        averaged = torch.is_grad_enabled() and model.require_backward_grad_sync
        if model.require_forward_param_sync:
            self._take_buffers()
        if model.device_ids:
            inputs, kwargs = _moved(model, inputs, kwargs)
        output = model._run_ddp_forward(*inputs, **kwargs)
        model.require_forward_param_sync = averaged
        if averaged:
            self._arm()
        return output

    def _take_buffers(self) -> None:
        """Copy the first rank's buffers, such as statistics of BatchNorm, to all ranks."""
        named = dict(self._model.module.named_buffers())
        taken = tuple(named[name] for group in self._layout.buffers for name in group)
        with torch.no_grad(), collectives.exchanging("forward"), buffers_unversioned(taken):
            for group in self._layout.buffers:
                buffers = [named[name] for name in group]
                flat = torch.cat([buffer.reshape(-1) for buffer in buffers])
                collectives.broadcast(flat, self._group)
                collectives.wait(flat)
                parts = flat.split([buffer.numel() for buffer in buffers])
                for buffer, part in zip(buffers, parts, strict=True):
                    buffer.copy_(part.view(buffer.size()))

    def _arm(self) -> None:
        """Empty the buckets and hook every parameter, as the wrapper does in each forward pass."""
        self.disarm()
        named = dict(self._model.module.named_parameters())
        self._buckets = [_Bucket({name: named[name] for name in names}) for names in self._layout.buckets]
        self._next, self._begun, self._over = 0, False, False
        self.arrived = []
        for bucket in self._buckets:
            for name, parameter in bucket.parameters.items():
                hook = partial(self._arrive, bucket, name)
                self._handles.append(parameter.register_post_accumulate_grad_hook(hook))

    def disarm(self) -> None:
        """Remove all hooks from the parameters."""
        for handle in self._handles:
            handle.remove()
        self._handles = []

    def _arrive(self, bucket: _Bucket, name: str, parameter: torch.Tensor) -> None:
        if self._over:
            return
        if name in bucket.filled:
            raise CaptureError(
                f"the gradient of {name} arrives twice in one averaging (two backward passes for one forward pass of "
                "DistributedDataParallel); add the losses and run one backward pass, or use no_sync() for the first"
            )
        self.arrived.append(name)
        with torch.no_grad(), collectives.exchanging("backward"):
            if bucket.flat is None:
                bucket.make()
            torch.mul(parameter.grad, self._share, out=bucket.views[name])  # type: ignore[arg-type]
            bucket.filled.add(name)
            self._start_full_ones()
        may_miss = self._model.find_unused_parameters and not self._begun
        self._begun = True
        if may_miss or (self._next == len(self._buckets) and not self._model.find_unused_parameters):
            after_backward(self._finish)

    def _start_full_ones(self) -> None:
        """Start to exchange those full buckets whose turn it is: buckets are exchanged in their fixed sequence, in
        whatever sequence they become full."""
        while self._next < len(self._buckets):
            bucket = self._buckets[self._next]
            if bucket.flat is None or len(bucket.filled) < len(bucket.parameters):
                return
            collectives.all_reduce_sum(bucket.flat, self._group)
            self._next += 1

    def _finish(self) -> None:
        """Called when backward is over: wait for all exchanges and give each parameter its averaged gradient. A
        gradient that did not arrive counts as zero in the sum, and `grad` of its parameter stays as it was."""
        missing = [name for bucket in self._buckets for name in bucket.parameters if name not in bucket.filled]
        with torch.no_grad(), collectives.exchanging("backward"):
            for bucket in self._buckets:
                if bucket.flat is None:
                    bucket.make()
                for name in bucket.parameters:
                    if name not in bucket.filled:
                        bucket.views[name].zero_()
                        bucket.filled.add(name)
            self._start_full_ones()
            for bucket in self._buckets:
                assert bucket.flat is not None
                collectives.wait(bucket.flat)
        for bucket in self._buckets:
            for name, parameter in bucket.parameters.items():
                if name not in missing:
                    parameter.grad = bucket.views[name]
        self._over = True
        self._buckets = []
        self.disarm()

    def check(self) -> None:
        """Called when the step is over. Raises CaptureError where not all gradients arrived."""
        missing = [name for bucket in self._buckets for name in bucket.parameters if name not in bucket.filled]
        if self._begun and not self._over and missing:
            raise CaptureError(
                f"{len(missing)} parameters get no gradient, the first {missing[0]}, and DistributedDataParallel waits "
                "for all; give it find_unused_parameters=True, or freeze them (requires_grad_(False)) before wrapping"
            )


def _moved(model: Any, inputs: Any, kwargs: Any) -> tuple[Any, Any]:
    """The inputs moved to the wrapper's device, by the code with which the wrapper moves them."""
    device = torch.device(model.device_type, model.device_ids[0])
    return moved_inputs(inputs, kwargs, device, model.use_side_stream_for_tensor_copies)
