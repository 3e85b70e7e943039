"""What an eager step really ran, operator by operator: the log that a captured graph is compared with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class LoggedTensor:
    """A tensor that an operator was given or returned.

    `storage`: the number of its storage in this log; a storage that is freed and another at the same address have
    different numbers. `storage_bytes`: the storage's size. `stride` and `offset` in elements. `dtype` and `device` as
    torch writes them ("float32", "cpu").
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: str
    device: str
    storage: int
    storage_bytes: int
    offset: int

    def text(self) -> str:
        """Dtype and shape, for sentences: "float32[2, 3]"."""
        return f"{self.dtype}{list(self.shape)}"


@dataclass(frozen=True, slots=True)
class LoggedOp:
    """One operator that ran.

    `target` as in `Op.target`. `arguments`: its tensors, in sequence, those in lists included; `constants`: its other
    arguments, in sequence, as plain values or text; `results`: the tensors that it returned. `answer`: the number that
    it returned, if it returns one (`.item()`). `accumulated`: it is a sum of gradients that eager autograd wrote in
    place, which the traced graph does not. `source`: the user's line, as "file:line".
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
