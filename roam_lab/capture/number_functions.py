"""Functions of `math` and NumPy that a step calls with a number that changes from step to step: a counter, a loss.

Each result is a symbol of its own, and the call a node of the trace, so that every planned step makes the same call.
What torch's symbols know of such functions is not used: it is little, and other bits than NumPy's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy
import sympy
import torch

from roam_lab.capture.host_values import HostValues
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.torch_internals import FakeTensor, get_proxy_mode

_SYMBOLIC = (torch.SymInt, torch.SymFloat)
_TESTS = ("isfinite", "isinf", "isnan")
_NEVER_RAISE = ("atan", "atan2", "copysign", "degrees", "erf", "erfc", "fabs", "radians", "tanh")
"""Of `math`; others raise ValueError or OverflowError for some numbers, where NumPy returns nan or inf."""
_MATH = (
    *_TESTS, *_NEVER_RAISE, "acos", "acosh", "asin", "asinh", "atanh", "cbrt", "cos", "cosh", "exp", "exp2", "expm1",
    "fmod", "hypot", "log", "log10", "log1p", "log2", "pow", "sin", "sinh", "sqrt", "tan",
)  # fmt: skip
_NUMPY = (
    *_TESTS, "arccos", "arccosh", "arcsin", "arcsinh", "arctan", "arctan2", "arctanh", "cbrt", "ceil", "cos", "cosh",
    "deg2rad", "degrees", "exp", "exp2", "expm1", "fabs", "floor", "fmax", "fmin", "hypot", "log", "log10", "log1p",
    "log2", "logaddexp", "maximum", "minimum", "rad2deg", "radians", "rint", "sign", "sin", "sinh", "sqrt", "tan",
    "tanh", "trunc",
)  # fmt: skip
"""Without those that operators call (`numpy.float64(2) * x`): they compute by another routine then."""

sympy_functions: dict[str, Any] = {}
"""Name -> the function in conditions."""
node_targets: dict[str, Callable[..., Any]] = {}
"""Name -> the target of nodes; with plain numbers it is the function itself."""
in_conditions: dict[str, Callable[..., float]] = {}
"""Name -> the function of plain numbers by which conditions are computed; nan where the function raises."""

_values: HostValues | None = None


def _made(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Enter a function under a name. Returns what the step calls in its place."""

    def number(*args: Any) -> float:
        try:
            with numpy.errstate(all="ignore"):
                return float(function(*args))
        except (ArithmeticError, ValueError):
            return math.nan

    def evaluate(_: Any, *args: Any) -> Any:
        if all(one.is_number for one in args):
            return sympy.Float(number(*(int(one) if one.is_Integer else float(one) for one in args)))
        return None

    def target(*args: Any) -> Any:
        if _values is None or not any(isinstance(one, _SYMBOLIC) for one in args):
            return function(*args)
        expression = sympy_functions[name](*map(_expression, args))
        return _values.compute(expression, float(function(*map(_hint, args))))

    sympy_functions[name] = type(name, (sympy.Function,), {"eval": classmethod(evaluate), "is_extended_real": True})
    target.__name__ = target.__qualname__ = name
    node_targets[name], in_conditions[name] = target, number

    def call(*args: Any) -> Any:
        mode: Any = get_proxy_mode()
        return function(*args) if mode is None else mode.__sym_dispatch__(target, (), args, {})

    return call


def _hint(value: Any) -> Any:
    return value.node.hint if isinstance(value, _SYMBOLIC) else value


def _expression(value: Any) -> Any:
    return value.node.expr if isinstance(value, _SYMBOLIC) else sympy.sympify(value)


def _in_steps(home: Any, short: str) -> Callable[..., Any]:
    """The function that stands in the place of `home.short` while a step is traced."""
    original = getattr(home, short)
    name = f"{home.__name__}_{short}"
    of_numbers = _made(name, original)
    returns = _made(f"{name}_returns", lambda *args: original(*args) is not None)  # 1.0 where it does not raise
    may_raise = home is math and short not in (*_NEVER_RAISE, *_TESTS)

    def instead(*args: Any, **kwargs: Any) -> Any:
        args = tuple(map(_number, args))
        if kwargs or _values is None or not any(isinstance(one, _SYMBOLIC) for one in args):
            return original(*args, **kwargs)
        hints = tuple(map(_hint, args))
        if any(one is None for one in hints):
            return original(*args)
        if may_raise and not bool(returns(*args) == 1.0):
            return original(*hints)  # raises what the step's code may catch
        found = original(*hints)
        if short in _TESTS:
            return type(found)(bool(of_numbers(*args) == 1.0))
        if isinstance(found, float) and math.isfinite(found):
            return of_numbers(*args)
        return original(*(float(one) if isinstance(one, torch.SymFloat) else int(one) for one in args))

    return instead


def _number(value: Any) -> Any:
    """The number that a tensor without dimensions is read as; anything else as it is."""
    if isinstance(value, FakeTensor) and not value.dim() and value.is_floating_point():
        return value.item()
    return value


_OF_MATH = {name: _in_steps(math, name) for name in _MATH if hasattr(math, name)}
_OF_NUMPY = {getattr(numpy, name): _in_steps(numpy, name) for name in _NUMPY}


def _array_ufunc(_: Any, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NumPy's protocol for a ufunc that is given a symbol. What is not in the lists is computed by operators of Python,
    as NumPy does with any object."""
    plain = all(isinstance(one, (*_SYMBOLIC, int, float)) for one in inputs)
    if ufunc in _OF_NUMPY and method == "__call__" and plain and not kwargs:
        found = ufunc(*map(_hint, inputs)) if None not in map(_hint, inputs) else None
        if isinstance(found, numpy.float64 | numpy.bool_):
            return _OF_NUMPY[ufunc](*inputs)
    return getattr(ufunc, method)(*map(_as_object, inputs), **kwargs)


def _as_object(value: Any) -> Any:
    if not isinstance(value, _SYMBOLIC):
        return value
    box = numpy.empty((), object)
    box[()] = value
    return box


@contextmanager
def number_functions(reachable: Reachable, values: HostValues | None) -> Iterator[None]:
    """A context for tracing a step, in which these functions make symbols of symbols, under their own names and those
    of the step's code (`from math import cos`). `values`: keeps what each is computed of."""
    global _values
    before, instead = _values, {id(getattr(math, name)): function for name, function in _OF_MATH.items()}
    put: Sequence[tuple[Any, str, Any]] = [(math, name, function) for name, function in _OF_MATH.items()]
    with ExitStack() as back:
        for one in reachable.containers:
            entries = one.read() if one.kind in ("names", "cell", "attributes") else {}
            for key, value in entries.items() if isinstance(entries, dict) else ():
                if id(value) in instead:
                    back.callback(one.put, key, value)
                    one.put(key, instead[id(value)])
        for home, name, function in put:
            back.callback(setattr, home, name, getattr(home, name))
            setattr(home, name, function)
        for kind in _SYMBOLIC:
            setattr(kind, "__array_ufunc__", _array_ufunc)  # noqa: B010  # a protocol that torch does not declare
            back.callback(delattr, kind, "__array_ufunc__")
        back.callback(_keep, before)
        _values = values
        yield


def _keep(values: HostValues | None) -> None:
    global _values
    _values = values
