"""The conditions that are checked before a step: computed from the batch and small tensors, outside of the plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.capture.conditions import Condition
from roam_lab.capture.inputs import Input
from roam_lab.capture.nodes import is_getitem, storage_key, tensors_of, written_arguments
from roam_lab.capture.torch_internals import below_autograd


@dataclass(frozen=True)
class Decisions:
    """The conditions of a captured step that are checked before it.

    `function`: returns the index of the first condition that does not hold, or None. `inputs`: its arguments, in order:
    inputs of the step, and outside tensors. `sentences`: a sentence for each condition that does not hold.
    """

    function: Callable[..., int | None]
    inputs: tuple[Input | torch.Tensor, ...]
    sentences: tuple[str, ...]

    def broken(self, values: Mapping[Input, Any]) -> str | None:
        """A sentence on the first condition that does not hold; None where all do. `values`: of the inputs."""
        given = [values[one] if isinstance(one, Input) else one for one in self.inputs]
        with below_autograd():
            found = self.function(*given)
        return None if found is None else self.sentences[found]


def way_sentence(condition: Condition) -> str:
    """The sentence that says that a condition does not hold."""
    where = condition.source or "its code"
    return f"the step takes another way at {where} than any that was captured"


def write_decisions(captured: Captured) -> Decisions | None:
    """The checks that can be made before the step; None where there are none."""
    placed = [one for one in captured.conditions if one.when == "before"]
    if not placed:
        return None
    return _Writer(captured).written([(one.condition, one.slice) for one in placed])


class _Writer:
    """Writes the source of the function line by line; ops that write in place work on copies."""

    def __init__(self, captured: Captured) -> None:
        self._module = captured.trace.module
        placeholders = [node for node in self._module.graph.nodes if node.op == "placeholder"]
        self._input_of = dict(zip(placeholders, captured.trace.inputs, strict=True))
        self._node_of = {found: node for node, found in self._input_of.items()}
        self._names: dict[Node, str] = {}
        self._space: dict[str, Any] = {}
        self._arguments: list[str] = []
        self._inputs: list[Input | torch.Tensor] = []
        self._lines: list[str] = []

    def written(self, conditions: list[tuple[Condition, tuple[Node, ...]]]) -> Decisions:
        order = {node: index for index, node in enumerate(self._module.graph.nodes)}
        needed = sorted({node for _, nodes in conditions for node in nodes}, key=order.__getitem__)
        copied = {
            storage_key(tensor)
            for node in needed
            if node.op == "call_function"
            for argument in written_arguments(node)
            for tensor in tensors_of(argument)
        }
        for node in needed:
            if node.op in ("placeholder", "get_attr"):
                self._enter(node, copied)
            elif node.op == "call_function":
                name = f"v{len(self._names)}"
                self._lines.append(f"{name} = {self._call(node)}")
                self._names[node] = name
        for index, (condition, _) in enumerate(conditions):
            numbers = [self._names[node] for node in condition.nodes]
            for found in condition.settings:
                self._enter(self._node_of[found], set())
                numbers.append(self._names[self._node_of[found]])
            self._lines.append(f"if not {self._constant(condition.holds)}({', '.join(numbers)}): return {index}")
        source = f"def decide({', '.join(self._arguments)}):\n" + "".join(f"    {line}\n" for line in self._lines)
        exec(compile(source, "<roam decisions>", "exec"), self._space)
        return Decisions(
            self._space["decide"], tuple(self._inputs), tuple(way_sentence(condition) for condition, _ in conditions)
        )

    def _enter(self, node: Node, copied: set[int]) -> None:
        if node in self._names:
            return
        name = f"a{len(self._inputs)}"
        self._names[node] = name
        self._arguments.append(name)
        self._inputs.append(
            self._input_of[node] if node.op == "placeholder" else getattr(self._module, str(node.target))
        )
        if any(storage_key(tensor) in copied for tensor in tensors_of(node)):
            self._lines.append(f"{name} = {name}.clone()")

    def _call(self, node: Node) -> str:
        if is_getitem(node):
            return f"{self._expression(node.args[0])}[{node.args[1]}]"
        parts = [self._expression(argument) for argument in node.args]
        parts += [f"{key}={self._expression(value)}" for key, value in node.kwargs.items()]
        return f"{self._constant(node.target)}({', '.join(parts)})"

    def _expression(self, value: Any) -> str:
        if isinstance(value, Node):
            return self._names[value]
        if isinstance(value, list | tuple):
            inner = ", ".join(self._expression(part) for part in value)
            return f"[{inner}]" if isinstance(value, list) else f"({inner}{',' if len(value) == 1 else ''})"
        return repr(value) if value is None or isinstance(value, bool | int | str) else self._constant(value)

    def _constant(self, value: Any) -> str:
        name = f"c{len(self._space)}"
        self._space[name] = value
        return name
