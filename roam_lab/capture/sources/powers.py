"""While a step is traced, a changing number may be negative and be raised to a whole power, as in `(loss - mean) ** 2`.

torch allows that for numbers alone of which it knows that they are not negative: others may have complex powers. Whole
powers are never complex.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def whole_powers() -> Iterator[None]:
    """A context in which symbols have such powers. Other powers stay torch's."""
    before: Any = torch.SymFloat.__pow__

    def power(one: Any, other: Any) -> Any:
        if isinstance(other, int | float) and float(other).is_integer():
            return one.__float_pow__(float(other))
        return before(one, other)

    torch.SymFloat.__pow__ = power  # type: ignore[method-assign]
    try:
        yield
    finally:
        torch.SymFloat.__pow__ = before  # type: ignore[method-assign]
