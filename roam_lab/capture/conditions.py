"""Conditions on numbers that a step reads out of tensors. A captured way is right only where its conditions hold.

When a condition is checked depends on what it needs. One on constants alone never changes, and is not checked. One that
needs the batch alone, or a few small ops, is computed before the step. One that needs the forward or backward pass is
checked inside the step, before anything resident is written or (`Captured.undone`) so that writes can be taken back.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import heapify, heappop, heappush
from typing import Any, Literal

import sympy
import torch
from torch.fx import Graph, Node

from roam_lab.capture.host_values import READ, HostValues
from roam_lab.capture.inputs import Input
from roam_lab.capture.moves import is_check
from roam_lab.capture.nodes import storage_key, tensors_of, written_arguments
from roam_lab.capture.number_functions import in_conditions
from roam_lab.capture.torch_internals import OpOverload, PythonPrinter

When = Literal["never", "before", "inside"]
BATCH_BYTES = 64 * 2**20
"""The most bytes, all results together, of ops on the batch that may run before a step."""
SMALL_OPS, SMALL_BYTES = 12, 2**20
"""The most ops, and the most bytes of results, on other tensors that may run before a step."""


@dataclass(frozen=True, eq=False)
class Condition:
    """A condition: `holds(*numbers, *settings)` says whether a step goes the captured way.

    `nodes`: the traced nodes that read the numbers; `settings`: inputs whose values it also depends on. `text` and
    `source` (the user's line) are for messages. `holds` was made of an `expression` of these `symbols`, or of the
    `constant` that the one number must be equal to.
    """

    nodes: tuple[Node, ...]
    settings: tuple[Input, ...]
    holds: Callable[..., bool]
    text: str
    source: str | None
    expression: Any = None
    symbols: tuple[Any, ...] = ()
    constant: bool | int | float | None = None


def conditions_of(
    guards: Iterable[Any], values: HostValues, graph: Graph, symbols: Mapping[Any, Input]
) -> tuple[tuple[Any, ...], tuple[Condition, ...]]:
    """Sort the guards of a trace's ShapeEnv. Returns the guards on settings alone, as they are, and conditions for
    those on numbers that are read out of tensors."""
    node_of = dict(enumerate(node for node in graph.nodes if node.target is READ))
    plain: list[Any] = []
    found: list[Condition] = []
    for guard in guards:
        expression = values.written_out(guard.expr)
        numbers = sorted((s for s in expression.free_symbols if s in values.symbols), key=values.symbols.__getitem__)
        if not numbers:
            plain.append(expression)
            continue
        others = sorted((s for s in expression.free_symbols if s in symbols), key=str)
        found.append(
            Condition(
                tuple(node_of[values.symbols[number]] for number in numbers),
                tuple(symbols[other] for other in others),
                expression_holds(expression, (*numbers, *others)),
                str(expression),
                values.lines[values.symbols[numbers[-1]]],
                expression,
                (*numbers, *others),
            )
        )
    for number, constant in values.constants.items():
        text, line = f"{constant!r}", values.lines[number]
        found.append(Condition((node_of[number],), (), equals_constant(constant), text, line, constant=constant))
    return tuple(plain), tuple(found)


def expression_holds(expression: Any, symbols: Sequence[Any]) -> Callable[..., bool]:
    """The expression as a Python function of its symbols, exact in floats."""
    names = {symbol: sympy.Symbol(f"x{index}") for index, symbol in enumerate(symbols)}
    source = PythonPrinter().doprint(expression.xreplace(names))
    arguments = ", ".join(str(names[symbol]) for symbol in symbols)
    return _function(f"lambda {arguments}: {source}")


@lru_cache(maxsize=4096)
def _function(text: str) -> Callable[..., bool]:
    """The function of a text, cached: conditions of two captures of one step are then equal."""
    function: Callable[..., bool] = eval(text, {"math": math, "torch": torch, **in_conditions})
    return function


@lru_cache(maxsize=4096, typed=True)
def equals_constant(constant: bool | int | float) -> Callable[..., bool]:
    if isinstance(constant, float) and math.isnan(constant):
        return lambda value: math.isnan(value)
    return lambda value: bool(value == constant)


@dataclass(frozen=True, eq=False)
class Placed:
    """A condition, and when it is checked; for one checked before the step also `slice`: the nodes that compute its
    numbers, in order."""

    condition: Condition
    when: When
    slice: tuple[Node, ...]


def place(conditions: Iterable[Condition], graph: Graph, inputs: Mapping[Node, Input]) -> tuple[Placed, ...]:
    """Decide when each condition is checked. `inputs`: placeholder -> what it stands for."""
    slices = Slices(graph)
    return tuple(_placed(condition, slices.of(condition.nodes), inputs) for condition in conditions)


def _placed(condition: Condition, nodes: tuple[Node, ...], inputs: Mapping[Node, Input]) -> Placed:
    calls = [node for node in nodes if node.op == "call_function"]
    if any(_draws(node) for node in calls):
        return Placed(condition, "inside", ())
    sources = [node for node in nodes if node.op in ("placeholder", "get_attr") and not _is_constant(node)]
    if not sources and not condition.settings:
        return Placed(condition, "never", ())
    made = sum(tensor.numel() * tensor.element_size() for node in calls for tensor in tensors_of(node))
    of_batch = all(node in inputs and inputs[node].kind in ("batch", "setting") for node in sources)
    if (of_batch and made <= BATCH_BYTES) or (len(calls) <= SMALL_OPS and made <= SMALL_BYTES):
        return Placed(condition, "before", nodes)
    return Placed(condition, "inside", ())


class Slices:
    """Finds the nodes that others of one graph depend on."""

    def __init__(self, graph: Graph) -> None:
        self._nodes = list(graph.nodes)
        self._place = {node: index for index, node in enumerate(self._nodes)}
        self._writers: dict[int, list[int]] = {}  # storage -> places of the nodes that write into it
        for index, node in enumerate(self._nodes):
            if node.op == "call_function":
                for argument in written_arguments(node):
                    for tensor in tensors_of(argument):
                        self._writers.setdefault(storage_key(tensor), []).append(index)

    def of(self, wanted: Iterable[Node]) -> tuple[Node, ...]:
        """All nodes that the wanted ones depend on, also through writes into tensors, with the wanted ones, in
        order."""
        found: set[int] = set()
        storages: set[int] = set()
        waiting = [-self._place[node] for node in wanted]  # the last one first
        heapify(waiting)
        while waiting:
            index = -heappop(waiting)
            if index in found:
                continue
            found.add(index)
            node = self._nodes[index]
            for source in node.all_input_nodes:
                heappush(waiting, -self._place[source])
            for relative in (node, *node.all_input_nodes):
                for key in {storage_key(tensor) for tensor in tensors_of(relative)} - storages:
                    storages.add(key)
                    for writer in self._writers.get(key, ()):
                        if writer < index:
                            heappush(waiting, -writer)
        return tuple(self._nodes[index] for index in sorted(found))


def slice_of(wanted: Iterable[Node], graph: Graph) -> tuple[Node, ...]:
    """`Slices.of`, where it is asked once for a graph."""
    return Slices(graph).of(wanted)


def _draws(node: Node) -> bool:
    """Whether the node draws random numbers, or reads or sets the state that they come from."""
    return isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def _is_constant(node: Node) -> bool:
    """Whether a node is a tensor that the step makes out of numbers, and that is the same in every step."""
    return node.op == "get_attr" and str(node.target).startswith("_tensor_constant")


def checks_inside(conditions: Iterable[Placed], graph: Graph) -> dict[Node, tuple[Node, ...]]:
    """The nodes at which conditions inside the step are checked: the node that reads a condition's last number -> the
    nodes of its other numbers. Ops that raise depending on values are among the keys."""
    checks: dict[Node, tuple[Node, ...]] = {node: () for node in graph.nodes if is_check(node.target)}
    for placed in conditions:
        if placed.when == "inside":
            *others, last = placed.condition.nodes
            checks[last] = tuple(dict.fromkeys((*checks.get(last, ()), *others)))
    return checks


def written_before_checks(graph: Graph, checks: Mapping[Node, Any]) -> tuple[Node, ...]:
    """The inputs and outside tensors that ops write before the last condition inside the step, in captured order."""
    nodes = list(graph.nodes)
    last = max((index for index, node in enumerate(nodes) if node in checks), default=-1)
    roots = {
        storage_key(tensor): node
        for node in reversed(nodes)
        if node.op in ("placeholder", "get_attr")
        for tensor in tensors_of(node)
    }
    written = dict.fromkeys(
        roots[storage_key(tensor)]
        for node in nodes[: last + 1]
        for argument in (written_arguments(node) if node.op == "call_function" else ())
        for tensor in tensors_of(argument)
        if storage_key(tensor) in roots
    )
    return tuple(written)
