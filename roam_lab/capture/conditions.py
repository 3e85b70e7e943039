"""Conditions on numbers that a step reads out of tensors: the way that was captured is right only where they hold."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch.fx import Graph, Node
from torch.utils._sympy.printers import PythonPrinter

from roam_lab.capture.host_values import READ, HostValues
from roam_lab.capture.inputs import Input


@dataclass(frozen=True, eq=False)
class Condition:
    """`holds(*numbers, *settings)` says whether a step still goes the captured way.

    `nodes`: the traced nodes that read the numbers; `settings`: the inputs that it also depends on. `text` and
    `source` (the user's line) are for messages.
    """

    nodes: tuple[Node, ...]
    settings: tuple[Input, ...]
    holds: Callable[..., bool]
    text: str
    source: str | None


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
                _predicate(expression, [*numbers, *others]),
                str(expression),
                values.lines[values.symbols[numbers[-1]]],
            )
        )
    for number, constant in values.constants.items():
        found.append(Condition((node_of[number],), (), _equals(constant), f"{constant!r}", values.lines[number]))
    return tuple(plain), tuple(found)


def _predicate(expression: Any, symbols: list[Any]) -> Callable[..., bool]:
    """The expression as a Python function of its symbols, exact in floats."""
    names = {symbol: sympy.Symbol(f"x{index}") for index, symbol in enumerate(symbols)}
    source = PythonPrinter().doprint(expression.xreplace(names))
    arguments = ", ".join(str(names[symbol]) for symbol in symbols)
    function: Callable[..., bool] = eval(f"lambda {arguments}: {source}", {"math": math, "torch": torch})
    return function


def _equals(constant: bool | int | float) -> Callable[..., bool]:
    if isinstance(constant, float) and math.isnan(constant):
        return lambda value: math.isnan(value)
    return lambda value: bool(value == constant)
