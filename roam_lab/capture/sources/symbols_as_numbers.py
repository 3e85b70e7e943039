"""While a step is traced, `type`, `isinstance` and `float` in the user's code treat a symbol as the Python number it
stands for.

Otherwise `isinstance(count, int) and count > 3` would be False for a symbol, and leave no condition; and `float(loss)`
would be the number that the loss is now.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import torch

from roam_lab.capture.host_values import HostValues
from roam_lab.capture.number_functions import number_functions
from roam_lab.capture.sources.comparisons import plain_comparisons
from roam_lab.capture.sources.powers import whole_powers
from roam_lab.capture.sources.probe import Probe, touch
from roam_lab.capture.sources.reachable import Reachable
from roam_lab.capture.torch_internals import FakeTensor

_KINDS = {torch.SymInt: int, torch.SymFloat: float, torch.SymBool: bool}


@contextmanager
def symbols_as_numbers(reachable: Reachable, values: HostValues | None) -> Iterator[None]:
    """A context in which functions of that name are in the globals of the user's functions. `float` is left alone where
    it is used as a class, too. Functions of `math` and NumPy make symbols of symbols, which `values` keeps."""
    functions: dict[int, list[FunctionType]] = {}
    for one in reachable.code:
        if one.kind == "function":
            functions.setdefault(id(one.held.__globals__), []).append(one.held)
    put: list[tuple[dict[str, Any], str, Any]] = []
    for several in functions.values():
        space = several[0].__globals__
        put += [(space, "type", _type), (space, "isinstance", _isinstance)]
        if _is_only_called("float", several):
            put.append((space, "float", _float))
    put = [(space, name, stand_in) for space, name, stand_in in put if name not in space]
    for space, name, stand_in in put:
        space[name] = stand_in
    try:
        with number_functions(reachable, values), plain_comparisons(), whole_powers():
            yield
    finally:
        for space, name, stand_in in put:
            if space.get(name) is stand_in:
                del space[name]


def _type(*args: Any) -> Any:
    found: Any = type(*args)
    if len(args) > 1:
        return found
    if found is Probe:
        touch(args[0])
    return _KINDS.get(found, found)


def _isinstance(value: Any, kinds: Any) -> bool:
    if type(value) in _KINDS:
        return issubclass(_KINDS[type(value)], kinds)
    if type(value) is Probe:
        touch(value)
    return isinstance(value, kinds)


def _float(*args: Any) -> Any:
    value = args[0] if args else None
    if isinstance(value, FakeTensor) and value.dtype is not torch.bool and not value.is_complex():
        value = value.item()
    return torch.sym_float(value) if type(value) in (torch.SymInt, torch.SymFloat) else float(*args)


def _is_only_called(name: str, functions: Collection[FunctionType]) -> bool:
    """Whether some of the functions call a global of this name, and none does anything else with it."""
    using = [one for one in functions if _uses(name, one.__code__)]
    return bool(using) and all(_calls_only(name, one) for one in using)


def _uses(name: str, code: CodeType) -> bool:
    return name in code.co_names or any(_uses(name, one) for one in code.co_consts if isinstance(one, CodeType))


def _calls_only(name: str, function: FunctionType) -> bool:
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(function.__code__)))
    except (OSError, SyntaxError, ValueError, TypeError):
        return False
    nodes = list(ast.walk(tree))
    annotations = [
        part for node in nodes for part in (getattr(node, "annotation", None), getattr(node, "returns", None))
    ]
    allowed = {id(node.func) for node in nodes if isinstance(node, ast.Call)}
    allowed |= {id(node) for part in annotations if part is not None for node in ast.walk(part)}
    return all(id(node) in allowed for node in nodes if isinstance(node, ast.Name) and node.id == name)
