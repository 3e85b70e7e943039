"""The ops of a planned step, one call after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class PythonExecutor:
    """Runs the program as the Python function that it is."""

    unchecked = 0
    """Steps that are to be held against eager ones beside the first."""
    may_lend = True
    """Whether the arena may lend ranges to the caching allocator while the program runs."""
    holds_addresses = False
    """Whether the arena has to stay where it is."""

    def run(self, function: Callable[..., Any], tensors: Sequence[Any], numbers: tuple[Any, ...]) -> Any:
        """What the program returns for the batch's `tensors` and the settings' `numbers`."""
        return function(*tensors, *numbers)

    def note_equal(self) -> None:
        """One of its steps was equal to the eager one."""

    def moved(self) -> None:
        """The tensors that the program was bound to are given up, or lie elsewhere."""
