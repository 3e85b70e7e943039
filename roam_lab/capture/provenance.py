"""The provenance of ops: phase, module path and the user's source line, noted while the step is traced."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from roam_lab.capture.guide import Guide
from roam_lab.capture.host_values import READ
from roam_lab.capture.known_values import KnownValues
from roam_lab.capture.outside import OutsideTensors
from roam_lab.capture.torch_internals import (
    TorchDispatchMode,
    autograd_node,
    get_proxy_mode,
    get_proxy_slot,
    sequence_number,
)
from roam_lab.capture.training_step import has_step_hooks
from roam_lab.capture.user_lines import user_line
from roam_lab.distributed.collectives import own_phase
from roam_lab.errors import CaptureError, DataDependentError

META_KEY = "roam"
LOG_KEY = "roam_log"
"""A key of `node.meta`: the position of the node's op in the log (`guide.compared_ops`), or OWN."""
PART_KEY = "roam_part"
"""A key of `node.meta` for a part of a split multi-tensor op: (index, number of parts)."""
CALL_KEY = "roam_call"
"""A key of `node.meta` for a part of a split multi-tensor op: the number of the call that was split."""
OWN = -1
"""The position of nodes that capture adds itself; eager has no op for them."""
COMMUNICATION = frozenset(
    {"c10d", "c10d_functional", "_c10d_functional", "_c10d_functional_autograd", "_dtensor", "symm_mem"}
)
"""Namespaces of ops that communicate with other processes."""


@dataclass(frozen=True, slots=True)
class Provenance:
    """Phase ("forward", "backward", "update"), module path ("": the model itself) and source ("file:line") of an op."""

    phase: str
    module: str
    source: str | None


def _called(func: Any) -> str:
    """The name by which a user calls a collective: "all_reduce" for c10d.allreduce_."""
    name: str = func._schema.name.partition("::")[2].strip("_").removesuffix("_coalesced")
    plain = {
        "allreduce": "all_reduce",
        "allgather": "all_gather",
        "alltoall": "all_to_all",
        "alltoall_base": "all_to_all",
    }
    return plain.get(name, name)


class ProvenanceMode(TorchDispatchMode):
    """A dispatch mode above make_fx's own: it writes provenance onto every node that an op adds to the traced graph,
    and calls `guide` for each op. Without a guide, `known` computes the numbers that the step reads, where that is
    possible; `answer` is the last one.

    A backward op gets the module and source of the forward op whose autograd node runs it: both have one sequence
    number. Real tensors among an op's arguments become constants of the graph (`outside`). `check` is called before
    each op; an exception that it raises ends the trace.
    """

    def __init__(self, outside: OutsideTensors, check: Callable[[], None], guide: Guide | None = None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.outside = outside
        self.guide = guide
        self.known: KnownValues | None = None
        self.answer: bool | int | None = None
        self._check = check
        self.modules: list[str] = [""]
        self.in_update = False
        self._by_sequence: dict[int, Provenance] = {}

    def current(self) -> Provenance:
        """Provenance of the op that is being dispatched now."""
        phase = own_phase()
        if phase is not None:
            return Provenance(phase, "", user_line(sys._getframe(1)))
        node = autograd_node()
        if node is not None and not self.in_update:
            origin = self._by_sequence.get(node._sequence_nr())
            return Provenance("backward", origin.module if origin else "", origin.source if origin else None)
        source = user_line(sys._getframe(1))
        if self.in_update:
            return Provenance("update", "", source)
        here = Provenance("forward", self.modules[-1], source)
        # the sequence number that the autograd node of this very op has just taken; ops without a node come later
        self._by_sequence.setdefault(sequence_number() - 1, here)
        return here

    @contextmanager
    def unguided(self) -> Iterator[None]:
        """A context for ops that capture adds and eager does not run: the guide is not called for them."""
        guide, self.guide = self.guide, None
        try:
            with own_nodes():
                yield
        finally:
            self.guide = guide

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace in COMMUNICATION and own_phase() is None:
            raise CaptureError(
                f"{user_line(sys._getframe(1)) or 'the step'}: the step communicates with other processes "
                f"({_called(func)}), which cannot be planned yet; train this step eagerly, or communicate outside of it"
            )
        if func is torch.ops.aten._pack_padded_sequence.default:
            raise DataDependentError(
                f"{user_line(sys._getframe(1)) or 'the step'}: a packed sequence has as many rows as its lengths add "
                "up to, and these are values, so no single graph describes it; pad to one length and mask, or train "
                "this step eagerly"
            )
        if func.namespace == "aten":  # what asks for a tensor's device comes from C++ that no exception may leave
            self._check()
        mode = get_proxy_mode()
        if mode is None:
            return func(*args, **(kwargs or {}))
        graph = mode.tracer.graph
        before = graph._root.prev
        here = self.current()
        if here.phase == "backward" and torch.is_anomaly_enabled():
            raise CaptureError(
                "anomaly detection is on, which stops a backward pass at the op that makes a NaN, and a planned step "
                "does not; switch it off (torch.autograd.set_detect_anomaly(False)), or train eagerly"
            )
        args, kwargs = self.outside.swap(func, args, kwargs or {})
        if self.guide is not None:
            self.guide.begin(func, args, kwargs, here.source)
        elif func is READ and self.known is not None:
            slot: Any = get_proxy_slot(args[0], mode.tracer)
            tracer: Any = mode.tracer
            self.answer = self.known.value(slot.proxy.node, graph, tracer.root)
        added = graph._root.prev
        result = func(*args, **kwargs)
        if self.guide is not None:
            self.guide.end(result, here.source)
            _stamp(graph, added, self.guide.position)
            _stamp(graph, before, OWN)
        node = graph._root.prev
        while node is not before:
            node.meta.setdefault(META_KEY, here)
            node = node.prev
        return result


def _stamp(graph: Any, after: Any, position: int | None) -> None:
    """Write the position in the log onto all nodes after `after` that have none."""
    node = graph._root.prev
    while position is not None and node is not after:
        node.meta.setdefault(LOG_KEY, position)
        node = node.prev


@contextmanager
def own_nodes() -> Iterator[None]:
    """A context whose nodes are marked as added by capture (OWN)."""
    mode = get_proxy_mode()
    assert mode is not None
    graph = mode.tracer.graph
    before = graph._root.prev
    yield
    _stamp(graph, before, OWN)


@contextmanager
def follow(
    mode: ProvenanceMode, model: torch.nn.Module, optimizers: tuple[torch.optim.Optimizer, ...]
) -> Iterator[ProvenanceMode]:
    """A context in which hooks tell the mode which module's forward runs, and when an optimizer steps."""
    handles: list[Any] = []
    for name, module in model.named_modules():

        def enter(_module: Any, _args: Any, name: str = name) -> None:
            mode.modules.append(name)

        def leave(_module: Any, _args: Any, _output: Any) -> None:
            mode.modules.pop()

        handles.append(module.register_forward_pre_hook(enter))
        handles.append(module.register_forward_hook(leave, always_call=True))

    def start(*_: Any) -> None:
        mode.in_update = True

    def stop(*_: Any) -> None:
        mode.in_update = False

    for optimizer in filter(has_step_hooks, optimizers):
        handles.append(optimizer.register_step_pre_hook(start))
        handles.append(optimizer.register_step_post_hook(stop))
    try:
        with mode:
            yield mode
    finally:
        for handle in handles:
            handle.remove()
