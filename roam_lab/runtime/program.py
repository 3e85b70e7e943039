"""The program of a captured step: one straight-line Python function, and the tensors and constants that it needs.

Residents and storages in the arena have fixed addresses: their tensors and views, the program's *places*, are made
once. External storages and the batch are local variables, which are deleted at the planned end of their lifetime.
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
"""The names in a program of `Heap.before`, `holes.give_up` and the methods of `LendingArena`."""


GIVEN = ("batch", "gradient", "carried")
"""Kinds of inputs whose tensors are others in each step, so that they are arguments of the program."""


class OtherWayError(Exception):
    """A condition inside the step does not hold. Whatever was written and stays after the step can be put back
    (`Undo`).

    Its argument is the index of the condition in `Program.otherwise`.
    """


def raising_other_way(op: Callable[..., Any], index: int) -> Callable[..., None]:
    """An op that raises depending on a tensor's values, as a condition: where it raises, OtherWayError is raised, so
    that the eager step runs instead."""

    def check(*args: Any, **kwargs: Any) -> None:
        try:
            op(*args, **kwargs)
        except RuntimeError as error:
            raise OtherWayError(index) from error

    return check


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor at a fixed address, in the form `like`: a view of `storage` in the arena, or of a resident `root`.

    `root`: an input, which is looked up again when the user replaces it and had the form `root_like`; or an outside
    tensor. `alone`: the tensor has a torch storage of its own over the arena's memory.
    """

    storage: int | None
    root: Input | torch.Tensor | None
    like: Form
    root_like: Form | None = None
    alone: bool = False


@dataclass(frozen=True)
class Program:
    """The source of `step(*batch tensors, *settings)`, and what it needs. It does not refer to the traced graph.

    `places`: name in the source -> place. `constants`: name -> object. `op_of_line`: source line -> index of its op.
    `ops`: a name of each op for messages. `arguments`: the inputs that are the function's arguments; `residents`: the
    inputs that are places. `otherwise`: for each condition inside the step a sentence that says that it does not hold;
    `undone`: the tensors that are written before the last condition. `first_write`: the source line of the first op
    that writes a tensor which stays after the step. `draws_before`, `draws_before_check`: whether random numbers are
    drawn before that line, and before the last condition.
    """

    source: str
    places: dict[str, Place]
    constants: dict[str, Any]
    op_of_line: dict[int, int]
    ops: tuple[str, ...]
    arguments: tuple[Input, ...]
    residents: tuple[Input, ...]
    filename: str
    otherwise: tuple[str, ...] = ()
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
        """The function. `places`: name -> tensor; `calls`: name -> function for what it calls besides ops."""
        namespace: dict[str, Any] = {**self.constants, **places, **calls}
        exec(self._code, namespace)
        function: Callable[..., tuple[Any, ...]] = namespace.pop("step")  # else a cycle keeps the arena alive
        return function

    def same(self, other: Program) -> bool:
        """Whether another program does the same with the same inputs: source, places and constants are equal."""
        return (
            self.source == other.source
            and self.arguments == other.arguments
            and self.constants.keys() == other.constants.keys()
            and all(same_value(value, other.constants[name]) for name, value in self.constants.items())
            and self.places.keys() == other.places.keys()
            and all(_same_place(place, other.places[name]) for name, place in self.places.items())
        )


def same_value(left: Any, right: Any) -> bool:
    """Whether two constants are the same for a program: one object, equal tensors, or equal values of one type."""
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
    except Exception:  # raised by a comparison of the user's: not known to be the same
        return False


def _same_place(left: Place, right: Place) -> bool:
    same_root = left.root == right.root if isinstance(left.root, Input) else same_value(left.root, right.root)
    return (left.storage, left.like, left.root_like) == (right.storage, right.like, right.root_like) and same_root
