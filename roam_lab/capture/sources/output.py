"""Outputs: what a step returns and does to Python objects, which is done again after each planned step."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from roam_lab.capture.sources.places import ValuePlace
from roam_lab.capture.torch_internals import pytree

How = Literal["assign", "append", "call", "return", "leave", "switch"]


@dataclass(frozen=True, eq=False)
class Output:
    """One thing that a planned step does to a Python object when it is over, or returns.

    `how`: "assign" a value to the place, "append" it to the container there, "call" `function` with it as (arguments,
    keywords), "return" it, "leave" it: a dict of gradients by parameter's name, or "switch" `requires_grad`: a dict of
    truth values by the tensor's name. The value is a pytree: `leaves` is
    the number of its leaves, which are results of the program, and `spec` its structure. `of_batch`: leaf of the value
    -> leaf of the batch that stands there instead.
    """

    how: How
    place: ValuePlace
    spec: Any
    leaves: int
    function: Callable[..., Any] | None = None
    of_batch: Mapping[int, int] = field(default_factory=dict)

    def apply(self, leaves: list[Any], batch: Sequence[Any]) -> Any:
        """Do it, with the `leaves` that one step computed, and the leaves of its `batch`. Returns the value."""
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
