"""Sympy expressions on symbols as trees in JSON: of a few known functions, so that reading one does nothing else."""

from __future__ import annotations

from typing import Any

import sympy

from roam_lab.capture.number_functions import sympy_functions as number_functions
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.torch_internals import sympy_functions

_KNOWN: dict[str, Any] = {
    **{
        name: getattr(sympy, name)
        for name in ("Add", "Mul", "Pow", "Eq", "Ne", "Lt", "Le", "Gt", "Ge", "Not", "And", "Or", "Abs", "Min", "Max")
    },
    **{f"torch.{name}": function for name, function in sympy_functions.items()},
    **{f"numbers.{name}": function for name, function in number_functions.items()},
}
_LONG = {"StrictLessThan": "Lt", "LessThan": "Le", "StrictGreaterThan": "Gt", "GreaterThan": "Ge"}
_LONG |= {"Equality": "Eq", "Unequality": "Ne"}
_DEEPEST = 50


def expression_to_data(expression: Any) -> Any:
    """Raises NotStoredError for an expression of other functions."""
    if expression in (sympy.true, sympy.false):
        return bool(expression)
    if isinstance(expression, sympy.Symbol):
        return {"symbol": expression.name, "integer": bool(expression.is_integer)}
    if isinstance(expression, sympy.Integer):
        return int(expression)
    if isinstance(expression, sympy.Rational):
        return {"rational": [int(expression.p), int(expression.q)]}
    if isinstance(expression, sympy.Float):
        if sympy.Float(float(expression)) != expression:
            raise NotStoredError("a condition of the step holds a number of more digits than a float has")
        return float(expression)
    name = type(expression).__name__
    name = _LONG.get(name, name)
    for known in (name, f"torch.{name}", f"numbers.{name}"):
        if type(expression) is _KNOWN.get(known):
            return {"call": known, "on": [expression_to_data(part) for part in expression.args]}
    raise NotStoredError(f"a condition of the step holds {name}")


def expression_from_data(data: Any, deep: int = 0) -> Any:
    """Raises NotStoredError for what `expression_to_data` does not write."""
    if deep > _DEEPEST:
        raise NotStoredError("a condition in it is damaged")
    if isinstance(data, bool):
        return sympy.true if data else sympy.false
    if isinstance(data, int):
        return sympy.Integer(data)
    if isinstance(data, float):
        return sympy.Float(data)
    if isinstance(data, dict) and "symbol" in data:
        return symbol_of(str(data["symbol"]), bool(data.get("integer")))
    if isinstance(data, dict) and "rational" in data:
        return sympy.Rational(*map(int, data["rational"]))
    if isinstance(data, dict) and data.get("call") in _KNOWN and isinstance(data.get("on"), list):
        return _KNOWN[data["call"]](*(expression_from_data(part, deep + 1) for part in data["on"]))
    raise NotStoredError("a condition in it is damaged")


def symbol_of(name: str, integer: bool) -> Any:
    """The symbol of a number."""
    return sympy.Symbol(name, integer=True) if integer else sympy.Symbol(name, real=True)
