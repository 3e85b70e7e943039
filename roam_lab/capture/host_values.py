"""Numbers that a step reads out of tensors (`.item()`, `if tensor:`).

Each becomes a symbol whose hint is the value that the eager step read. Arithmetic on it is traced as arithmetic; at a
branch the trace takes the eager step's way, and the condition is kept as a guard.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from typing import Any

import torch

from roam_lab.capture.torch_internals import ConstantSource, DimDynamic, ShapeEnv

READ = torch.ops.aten._local_scalar_dense.default
"""The op under `.item()`, `bool(tensor)`, `int(tensor)` and `tensor.tolist()`."""


class HostValues:
    """The numbers read in one trace, counted from 0.

    `fixed`: numbers that must be constants because a shape depends on them; that they have this value is a condition of
    the trace. `lines`: for each number the user's line that reads it. `constant`: fixed number -> its value.
    `computed`: symbol -> the expression of other symbols that it stands for (number_functions.py).
    """

    def __init__(self, environment: ShapeEnv, fixed: Collection[int]) -> None:
        self._environment = environment
        self._fixed = fixed
        self.symbols: dict[Any, int] = {}
        self.constants: dict[int, bool | int | float] = {}
        self.computed: dict[Any, Any] = {}
        self.lines: list[str | None] = []

    def read(self, dtype: torch.dtype, answer: bool | int | float | None, source: str | None) -> Any:
        """The symbol, or the constant, for the next number that is read; None where its value is not known.

        `answer`: the value that the eager step read; `source`: the user's line.
        """
        number = len(self.lines)
        self.lines.append(source)
        if answer is None:
            return None
        if number in self._fixed or (isinstance(answer, float) and not math.isfinite(answer)):
            self.constants[number] = answer
            return answer
        source_of = ConstantSource(f"value_{number}")
        kind: Any = float if dtype.is_floating_point else int
        symbol = self._environment.create_unspecified_symbol(
            kind(answer), source=source_of, dynamic_dim=DimDynamic.DYNAMIC
        )
        self.symbols[symbol] = number
        if kind is float:
            return self._environment.create_symfloatnode(symbol, hint=float(answer), source=source_of)
        whole = self._environment.create_symintnode(symbol, hint=int(answer), source=source_of)
        return whole == 1 if dtype is torch.bool else whole

    def compute(self, expression: Any, value: float) -> Any:
        """A new symbol for what is computed of others; `value`: what it is in the eager step."""
        source = ConstantSource(f"computed_{len(self.computed)}")
        symbol = self._environment.create_unspecified_symbol(value, source=source, dynamic_dim=DimDynamic.DYNAMIC)
        self.computed[symbol] = expression
        return self._environment.create_symfloatnode(symbol, hint=value, source=source)

    def written_out(self, expression: Any) -> Any:
        """The expression without symbols of `computed`."""
        for symbol, of_others in reversed(self.computed.items()):
            expression = expression.xreplace({symbol: of_others})
        return expression
