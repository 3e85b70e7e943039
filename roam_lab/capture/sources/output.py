"""What a step gives back and does to Python objects, done after each planned step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from roam_lab.capture.sources.places import ValuePlace
from roam_lab.capture.torch_internals import pytree

How = Literal["assign", "append", "call", "return", "leave"]


@dataclass(frozen=True, eq=False)
class Output:
    """What a planned step does to a Python object when it is over, or returns.

    `how`: "assign" the value to the place, "append" it to the container, "call" `function` with it as arguments,
    "return" it, "leave" it as the gradients of the parameters that it names (in a dict).
    `leaves`: tensors and symbols in the trace, their values in a run; `spec` puts them together. `of_batch`: place
    among them -> the leaf of the batch that stands there.
    """

    how: How
    place: ValuePlace
    spec: Any
    leaves: int
    function: Callable[..., Any] | None = None
    of_batch: Mapping[int, int] = field(default_factory=dict)

    def apply(self, leaves: list[Any], batch: Sequence[Any]) -> Any:
        """Do it, with the values that one step gave the leaves, and the leaves of its batch. Returns the value."""
        for position, index in self.of_batch.items():
            leaves[position] = batch[index]
        value = pytree.tree_unflatten(leaves, self.spec)
        if self.how == "assign":
            self.place.write(value)
        elif self.how == "append":
            self.place.container.append(value)
        elif self.how == "call":
            assert self.function is not None
            arguments, keywords = value
            self.function(*arguments, **keywords)
        return value
