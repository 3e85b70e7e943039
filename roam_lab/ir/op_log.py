"""What an eager step really ran, operator by operator: the record that a captured graph is held against."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedTensor:
    """A tensor that an operator was given or returned.

    `storage`: a number that is the storage's own in this log, whatever its address; `offset` in elements from the
    start of it, `storage_bytes` its size. `dtype` and `device` as torch writes them ("float32", "cpu").
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    device: str
    storage: int
    storage_bytes: int
    offset: int

    def text(self) -> str:
        """The same in a sentence: float32[2, 3]."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class LoggedOp:
    """One operator that ran.

    `target` as in `Op.target`. `arguments`: its tensors, in sequence, those in lists included; `constants`: its other
    arguments, in sequence, as plain values or text. `answer`: what an operator that returns a number returned.
    `accumulated`: a sum of gradients that eager autograd writes in place and the traced graph does not.
    """

    target: str
    arguments: tuple[LoggedTensor, ...]
    constants: tuple[Any, ...]
    results: tuple[LoggedTensor, ...]
    answer: bool | int | float | None = None
    accumulated: bool = False
    source: str | None = None


@dataclass(frozen=True)
class OpLog:
    """Every operator of one eager step, in the sequence in which they ran."""

    ops: tuple[LoggedOp, ...]
