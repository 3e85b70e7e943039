"""The program of a captured step: one straight-line Python function, and what has to stand at which place for it.

What lies at a fixed address (resident tensors, arena) is a tensor made once, views included. What the ops allocate
themselves (external storages) and the batch are local variables, dropped at the planned end of their lifetime.
"""

from __future__ import annotations

import linecache
import struct
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import CodeType
from typing import Any

import torch

from roam_lab.capture.inputs import Input
from roam_lab.runtime.arena import Form
from roam_lab.runtime.identity import digest

BEFORE, GIVE_UP, LEND, SETTLE, TAKE_BACK = "before", "give_up", "lend", "settle", "take_back"
"""Names under which the program calls `Heap.before`, `holes.give_up`, and what a `LendingArena` does."""


GIVEN = ("batch", "gradient")
"""Kinds of inputs that lie elsewhere in each step: arguments of the program."""


class OtherWayError(Exception):
    """A condition inside the step does not hold; nothing that outlives the step was written that is not put back.

    Its argument is the index of the condition in `Program.told`.
    """


def raising_other_way(op: Callable[..., Any], index: int) -> Callable[..., None]:
    """An op that checks what a tensor holds, as a condition: the eager step knows what follows where it raises."""

    def check(*args: Any, **kwargs: Any) -> None:
        try:
            op(*args, **kwargs)
        except RuntimeError as error:
            raise OtherWayError(index) from error

    return check


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor at a fixed address: a view like `like` of arena storage `storage`, or of a tensor that is always there.

    That is `root`: an input, found anew when the user replaces it, whose fake was like `root_like`; or a constant.
    `alone`: it has a torch storage to itself, though the memory is the arena's.
    """

    storage: int | None
    root: Input | torch.Tensor | None
    like: Form
    root_like: Form | None = None
    alone: bool = False


@dataclass(frozen=True)
class Program:
    """Source of `step(*batch tensors, *settings)`, and what it has to be given. Nothing of the traced graph is held.

    `places`: name -> what must stand under that name. `constants`: name -> object. `op_of_line`: source line ->
    op index. `ops`: what to call each op in a message. `arguments`: the inputs that are the function's arguments.
    `residents`: the inputs that are tensors at a place of their own. `told`: what to say of each condition inside the
    step, where it does not hold; `undone`: the tensors that are written before the last of them. `first_write`: the
    source line of the first op that writes what outlives the step; `draws_before`: whether random numbers are drawn
    before it; `draws_before_check`: whether before the last condition.
    """

    source: str
    places: dict[str, Place]
    constants: dict[str, Any]
    op_of_line: dict[int, int]
    ops: tuple[str, ...]
    arguments: tuple[Input, ...]
    residents: tuple[Input, ...]
    filename: str
    told: tuple[str, ...] = ()
    first_write: int = 0
    draws_before: bool = False
    undone: tuple[Input | torch.Tensor, ...] = ()
    draws_before_check: bool = False

    @cached_property
    def _code(self) -> CodeType:
        lines = self.source.splitlines(keepends=True)
        linecache.cache[self.filename] = (len(self.source), None, lines, self.filename)
        weakref.finalize(self, linecache.cache.pop, self.filename, None).atexit = False
        return compile(self.source, self.filename, "exec")

    def compile(
        self, places: dict[str, torch.Tensor], calls: Mapping[str, Callable[..., Any]]
    ) -> Callable[..., tuple[Any, ...]]:
        """The function, with `places` bound. `calls`: what it calls beside ops, by name."""
        namespace: dict[str, Any] = {**self.constants, **places, **calls}
        exec(self._code, namespace)
        function: Callable[..., tuple[Any, ...]] = namespace.pop("step")  # else a cycle keeps the arena alive
        return function

    def same(self, other: Program) -> bool:
        """Whether another program does the same to the same inputs: line by line, constant by constant, bit by bit."""
        return (
            self.source == other.source
            and self.arguments == other.arguments
            and self.constants.keys() == other.constants.keys()
            and all(same_value(value, other.constants[name]) for name, value in self.constants.items())
            and self.places.keys() == other.places.keys()
            and all(_same_place(place, other.places[name]) for name, place in self.places.items())
        )


def same_value(left: Any, right: Any) -> bool:
    """Whether two constants are the same for a program: one object, equal tensors, or equal and of one type."""
    if left is right:
        return True
    if isinstance(left, torch.Tensor) or isinstance(right, torch.Tensor):
        return (
            isinstance(left, torch.Tensor)
            and isinstance(right, torch.Tensor)
            and (left.dtype, left.device, left.stride()) == (right.dtype, right.device, right.stride())
            and digest(left) == digest(right)
        )
    if type(left) is not type(right):
        return False
    if isinstance(left, float):
        return struct.pack("d", left) == struct.pack("d", right)
    try:
        return bool(left == right)
    except Exception:  # a comparison of the user's own: not known to be the same
        return False


def _same_place(left: Place, right: Place) -> bool:
    same_root = left.root == right.root if isinstance(left.root, Input) else same_value(left.root, right.root)
    return (left.storage, left.like, left.root_like) == (right.storage, right.like, right.root_like) and same_root
