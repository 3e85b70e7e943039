"""The executor that runs a planned step op by op from Python."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class PythonExecutor:
    """Runs the program as the Python function that it is."""

    unchecked = 0
    """How many further steps are to be compared with eager ones."""
    may_lend = True
    """Whether the arena may lend ranges to the caching allocator while the program runs."""
    holds_addresses = False
    """Whether the arena has to stay where it is."""

    def run(self, function: Callable[..., Any], tensors: Sequence[Any], numbers: tuple[Any, ...]) -> Any:
        """Run the program on the batch's `tensors` and the settings' `numbers`. Returns its results."""
        return function(*tensors, *numbers)

    def note_equal(self) -> None:
        """Note that one of its steps was equal to the eager one."""

    def moved(self) -> None:
        """Note that the program's tensors were freed or moved."""
