"""Values of the numbers that a step reads out of tensors, for a trace without an eager step's log: computed from
constants and the batch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch.fx import Graph, Node

from roam_lab.capture.conditions import BATCH_BYTES, slice_of
from roam_lab.capture.inputs import Input
from roam_lab.capture.nodes import tensors_of
from roam_lab.capture.torch_internals import OpOverload, without_modes


class KnownValues:
    """Computes such numbers during one trace. `inputs`: of the trace, in order; `leaves`: of the batch."""

    def __init__(self, inputs: Sequence[Input], leaves: Sequence[Any]) -> None:
        self._inputs, self._leaves = inputs, leaves

    def value(self, node: Node, graph: Graph, root: Any) -> bool | int | None:
        """The number in the one-element tensor that a node of the graph so far stands for; None if it is not known.

        It is known if it depends on constants and on batch tensors with values alone, and on no random numbers.
        """
        if not isinstance(node.meta.get("val"), torch.Tensor) or node.meta["val"].dtype.is_floating_point:
            return None
        placeholders = [one for one in graph.nodes if one.op == "placeholder"]
        inputs = dict(zip(placeholders, self._inputs, strict=False))
        nodes = slice_of([node], graph)
        made = 0
        values: dict[Node, Any] = {}
        with without_modes(), torch.no_grad():
            for one in nodes:
                if one.op == "call_function":
                    made += sum(tensor.numel() * tensor.element_size() for tensor in tensors_of(one))
                    if made > BATCH_BYTES or not _is_repeatable(one):
                        return None
                    values[one] = _run(one, values)
                else:
                    found = self._given(one, inputs, root)
                    if not isinstance(found, torch.Tensor) or found.is_meta:
                        return None
                    values[one] = found.detach().clone()
            answer: bool | int = values[node].item()
            return answer

    def _given(self, node: Node, inputs: Mapping[Node, Input], root: Any) -> Any:
        if node.op == "placeholder":
            found = inputs.get(node)
            return self._leaves[found.path[0]] if found is not None and found.kind == "batch" else None
        return getattr(root, str(node.target), None) if str(node.target).startswith("_tensor_constant") else None


def _is_repeatable(node: Node) -> bool:
    target = node.target
    return not isinstance(target, OpOverload) or torch.Tag.nondeterministic_seeded not in target.tags


def _run(node: Node, values: Mapping[Node, Any]) -> Any:
    args, kwargs = torch.fx.node.map_arg((node.args, dict(node.kwargs)), values.__getitem__)
    function: Any = node.target
    return function(*args, **kwargs)
