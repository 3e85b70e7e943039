"""What a node of a traced graph calls, by name: ATen's ops and roam-lab's own, and arithmetic on numbers."""

from __future__ import annotations

import builtins
import math
import operator
from typing import Any

import torch

from roam_lab.capture.number_functions import node_targets
from roam_lab.capture.stored import NotStoredError
from roam_lab.capture.torch_internals import OpOverload

_SPACES = ("aten", "prims", "roam_lab")
_NEVER = {"aten.from_file.default", "aten.from_file.out"}
"""Reads a file."""
_NUMBERS = (
    "add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "neg", "pos", "abs", "eq", "ne", "lt", "le", "gt", "ge",
    "and_", "or_", "not_", "getitem",
)  # fmt: skip
_MATH = (
    "ceil", "floor", "trunc", "sqrt", "exp", "log", "log2", "log1p", "expm1", "pow", "sin", "cos", "tan", "tanh",
    "fabs", "isnan", "isinf", "isfinite",
)  # fmt: skip
_SYMBOLIC = tuple(name for name in dir(torch) if name.startswith(("sym_", "_sym_")))
_HOST: dict[str, Any] = {
    **{f"operator.{name}": getattr(operator, name) for name in _NUMBERS},
    **{f"math.{name}": getattr(math, name) for name in _MATH},
    **{f"torch.{name}": getattr(torch, name) for name in _SYMBOLIC},
    **{f"numbers.{name}": function for name, function in node_targets.items()},
    **{f"builtins.{name}": getattr(builtins, name) for name in ("abs", "bool", "float", "int", "max", "min", "round")},
}
_NAME_OF = {id(function): name for name, function in _HOST.items()}


def op_to_data(target: Any) -> str:
    """The name of an op, or of arithmetic. Raises NotStoredError."""
    if isinstance(target, OpOverload):
        name = str(target)
        if name.partition(".")[0] in _SPACES and name not in _NEVER:
            return name
        raise NotStoredError(f"the step runs {name}, an op of another library")
    host = _NAME_OF.get(id(target))
    if host is None:
        raise NotStoredError(f"the step computes a number with {getattr(target, '__name__', target)}")
    return host


def op_from_data(name: Any) -> Any:
    """The op of this name. Raises NotStoredError."""
    name = str(name)
    if name in _HOST:
        return _HOST[name]
    parts = name.split(".")
    if len(parts) == 3 and parts[0] in _SPACES and name not in _NEVER:
        packet = getattr(getattr(torch.ops, parts[0]), parts[1], None)
        found = getattr(packet, parts[2], None)
        if isinstance(found, OpOverload) and str(found) == name:
            return found
    raise NotStoredError(f"it names {name}, which is no op that is known")
