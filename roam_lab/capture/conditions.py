"""Conditions on numbers that a step reads out of tensors: the way that was captured is right only where they hold.

Where a condition can be known decides when it is checked. Of constants alone it never changes. What needs the batch
alone, or a few small ops, is computed before the step. What needs the forward or backward pass is checked inside the
step, before anything that outlives it is written.
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
from roam_lab.capture.torch_internals import OpOverload, PythonPrinter

When = Literal["never", "before", "inside"]
BATCH_BYTES = 64 * 2**20
"""What may be computed of the batch before a step, all results together."""
SMALL_OPS, SMALL_BYTES = 12, 2**20
"""And of other tensors."""


@dataclass(frozen=True, eq=False)
class Condition:
    """`holds(*numbers, *settings)` says whether a step still goes the captured way.

    `nodes`: the traced nodes that read the numbers; `settings`: the inputs that it also depends on. `text` and
    `source` (the user's line) are for messages. What `holds` was made of: an `expression` of these `symbols`, or the
    `constant` that the number must be equal to.
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
    """The guards on settings alone, as they are, and those on numbers read out of tensors, as conditions."""
    node_of = dict(enumerate(node for node in graph.nodes if node.target is READ))
    plain: list[Any] = []
    found: list[Condition] = []
    for guard in guards:
        expression = guard.expr
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
        told, line = f"{constant!r}", values.lines[number]
        found.append(Condition((node_of[number],), (), equals_constant(constant), told, line, constant=constant))
    return tuple(plain), tuple(found)


def expression_holds(expression: Any, symbols: Sequence[Any]) -> Callable[..., bool]:
    """The expression as a Python function of its symbols, exact in floats."""
    names = {symbol: sympy.Symbol(f"x{index}") for index, symbol in enumerate(symbols)}
    source = PythonPrinter().doprint(expression.xreplace(names))
    arguments = ", ".join(str(names[symbol]) for symbol in symbols)
    return _function(f"lambda {arguments}: {source}")


@lru_cache(maxsize=4096)
def _function(text: str) -> Callable[..., bool]:
    """One function for one text: a step that is captured again is seen to be the same."""
    function: Callable[..., bool] = eval(text, {"math": math, "torch": torch})
    return function


@lru_cache(maxsize=4096, typed=True)
def equals_constant(constant: bool | int | float) -> Callable[..., bool]:
    if isinstance(constant, float) and math.isnan(constant):
        return lambda value: math.isnan(value)
    return lambda value: bool(value == constant)


@dataclass(frozen=True, eq=False)
class Placed:
    """A condition, when it is checked, and the nodes that compute its numbers, in order (of those checked before)."""

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
    """What nodes of one graph depend on."""

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
        """The nodes that the wanted ones depend on, themselves included, in order; writes into what they read count."""
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
    """`Slices.of`, for one question."""
    return Slices(graph).of(wanted)


def _draws(node: Node) -> bool:
    """Whether the node draws random numbers, or reads or sets the state that they come from."""
    return isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def _is_constant(node: Node) -> bool:
    """A tensor that the step itself makes out of numbers, the same in every step."""
    return node.op == "get_attr" and str(node.target).startswith("_tensor_constant")


def checks_inside(conditions: Iterable[Placed], graph: Graph) -> dict[Node, tuple[Node, ...]]:
    """For the conditions inside the step: the node that reads the last number of one -> the nodes of its others; and
    the ops that raise by what a tensor holds."""
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
