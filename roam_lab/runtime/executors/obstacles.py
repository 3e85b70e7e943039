"""What in a captured step cannot be part of a CUDA graph, which repeats kernels with recorded arguments.

Source: "CUDA semantics", section "CUDA Graphs", of PyTorch's documentation. The host does nothing in a replay: it reads
no number, counts no step, copies nothing from its own memory, and sets no random state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.host_values import READ
from roam_lab.capture.inputs import Input
from roam_lab.capture.moves import is_check
from roam_lab.capture.nodes import storage_key, tensors_of, written_arguments
from roam_lab.capture.provenance import META_KEY
from roam_lab.capture.torch_internals import OpOverload

_WAITS_ON_THE_DEVICE = {"aten::_assert_async"}
_DEPENDS_ON_DATA = (torch.Tag.dynamic_output_shape, torch.Tag.data_dependent_output)


def obstacle(captured: Captured) -> str | None:
    """The first thing that keeps a step from being a CUDA graph, as a sentence that names the op and its line."""
    return next(_obstacles(captured), None)


def generators(captured: Captured) -> list[torch.Generator]:
    """The random generators, besides the default one, that the step draws from; they have to be registered with a
    graph."""
    module = captured.trace.module
    found = [getattr(module, str(node.target)) for node in module.graph.nodes if node.op == "get_attr"]
    return [one for one in found if isinstance(one, torch.Generator)]


def _obstacles(captured: Captured) -> Iterator[str]:
    trace = captured.trace
    placeholders = [node for node in trace.module.graph.nodes if node.op == "placeholder"]
    for node, found in zip(placeholders, trace.inputs, strict=True):
        if node.users and any(_on_host(tensor) for tensor in tensors_of(node)):
            yield _input_on_host(found)
    if trace.begun or trace.left:
        yield "the step adds to gradients from before, or leaves them"
    for placed in captured.conditions:
        if placed.when == "inside":
            condition = placed.condition
            yield f"the step branches on a value ({condition.text}, {condition.source or 'no source line'})"
    if any(one.device.type != "cuda" for one in generators(captured)):
        yield "the step draws from a generator of the CPU"
    batch = {
        storage_key(tensor)
        for node, found in zip(placeholders, trace.inputs, strict=True)
        if found.kind == "batch"
        for tensor in tensors_of(node)
    }
    for node in captured.step.nodes:
        for does, is_so in _RULES.items():
            if is_so(node):
                yield f"{_label(node)} {does}"
        if any(storage_key(one) in batch for argument in written_arguments(node) for one in tensors_of(argument)):
            yield f"{_label(node)} writes into the batch, of which a graph has a copy"


def _input_on_host(found: Input) -> str:
    if found.kind == "state":
        return (
            f"{found} lies on the host, where a replay counts no steps (optimizers with fused=True or capturable=True "
            "count on the device)"
        )
    return f"{found} lies on the host, which a replay does not read again"


def _reads_a_number(node: Node) -> bool:
    """Whether a node reads a number that other nodes use. One without users is in conditions only, and those inside the
    step are reported before."""
    return node.target is READ and bool(node.users)


def _sets_random_state(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target.namespace == "roam_lab"


def _depends_on_data(node: Node) -> bool:
    if not isinstance(node.target, OpOverload) or node.target is READ:
        return False
    if is_check(node.target):
        return node.target._schema.name not in _WAITS_ON_THE_DEVICE
    if node.target is torch.ops.aten.index.Tensor:  # how many entries a mask picks, only the mask tells
        masks = [one for index in node.all_input_nodes[1:] for one in tensors_of(index)]
        return any(one.dtype in (torch.bool, torch.uint8) for one in masks)
    return any(tag in node.target.tags for tag in _DEPENDS_ON_DATA)


def _crosses(node: Node) -> bool:
    """Whether a node copies between host and device. A tensor without dimensions on the host that is not copied is
    passed to kernels as a number."""
    if not isinstance(node.target, OpOverload) or node.target._schema.name not in _COPIES:
        return False
    sides = {_on_host(one) for other in (*node.all_input_nodes, node) for one in tensors_of(other)}
    return len(sides) == 2


def _on_host(tensor: torch.Tensor) -> bool:
    return tensor.device.type == "cpu"


def _label(node: Node) -> str:
    where = node.meta.get(META_KEY)
    return f"op {node.name} ({node.target}, {(where.source if where else None) or 'no source line'})"


_COPIES = {"aten::_to_copy", "aten::copy_", "aten::copy", "aten::_foreach_copy_"}
_RULES: dict[str, Callable[[Node], bool]] = {
    "gives a number to the host": _reads_a_number,
    "reads or sets the random state, which cannot be captured": _sets_random_state,
    "waits for what a tensor holds": _depends_on_data,
    "copies between the host and the device": _crosses,
}
