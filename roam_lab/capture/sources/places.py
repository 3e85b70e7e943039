"""Places of Python values: entries of dicts and lists, attributes, variables, numbers in optimizers."""

from __future__ import annotations

from collections import deque
from contextvars import ContextVar
from dataclasses import dataclass
from types import CellType
from typing import Any

from roam_lab.capture.torch_internals import pytree


@dataclass(frozen=True, eq=False)
class ValuePlace:
    """The place of a Python value: an entry of a dict or list, an attribute, a variable. `path`: as a user writes
    it."""

    container: Any
    key: Any
    path: str

    def read(self) -> Any:
        """The present value. Raises KeyError where it is gone."""
        try:
            if isinstance(self.container, CellType):
                return self.container.cell_contents
            if isinstance(self.container, ContextVar):
                return self.container.get()
            if isinstance(self.container, dict | list | deque):
                return self.container[self.key]
            return getattr(self.container, self.key)
        except (LookupError, AttributeError, ValueError):
            raise KeyError(self.path) from None

    def write(self, value: Any) -> None:
        """Set the value."""
        if isinstance(self.container, CellType):
            self.container.cell_contents = value
        elif isinstance(self.container, ContextVar):
            self.container.set(value)
        elif isinstance(self.container, dict | list | deque):
            self.container[self.key] = value
        elif isinstance(self.container, type):
            type.__setattr__(self.container, self.key, value)
        else:
            object.__setattr__(self.container, self.key, value)


@dataclass(frozen=True, eq=False)
class LeafPlace(ValuePlace):
    """The place of a number among the leaves of a tuple, list or dict that the step binds anew, looked up each time.

    `key`: of the whole, and the leaf's index.
    """

    @property
    def whole(self) -> ValuePlace:
        """Where the whole is bound."""
        return ValuePlace(self.container, self.key[0], self.path)

    def read(self) -> Any:
        """The present number. Raises KeyError where it is gone."""
        leaves = pytree.tree_leaves(self.whole.read())
        if self.key[1] >= len(leaves):
            raise KeyError(self.path)
        return leaves[self.key[1]]

    def write(self, value: Any) -> None:
        """Bind a whole with another number in it."""
        leaves, spec = pytree.tree_flatten(self.whole.read())
        leaves[self.key[1]] = value
        self.whole.write(pytree.tree_unflatten(leaves, spec))


@dataclass(frozen=True)
class Changing:
    """What is known, before a capture, to change from step to step. `numbers`: places of Python numbers, which become
    inputs; `filled`: one entry of each list that the step fills; `carried`: places of tensors that the step reads and
    binds anew."""

    numbers: tuple[ValuePlace, ...] = ()
    filled: tuple[ValuePlace, ...] = ()
    carried: tuple[ValuePlace, ...] = ()


NOTHING_KNOWN = Changing()


@dataclass(frozen=True, eq=False)
class OptimizerPlace(ValuePlace):
    """The place of a number in an optimizer's state of a parameter, or in one of its groups, looked up each time.

    `container`: the optimizer. `owner`: the parameter, or the index of the group. `key`: the keys that lead to the
    number.
    """

    owner: Any = None
    number: int = 0

    def holder(self, parameter: Any = None) -> Any:
        """The dict or list that holds the number; `parameter` replaces the owner (by its fake, while tracing)."""
        if isinstance(self.owner, int):
            found: Any = self.container.param_groups[self.owner]
        else:
            found = self.container.state[self.owner if parameter is None else parameter]
        for key in self.key[:-1]:
            found = found[key]
        return found

    def read(self) -> Any:
        """The present number. Raises KeyError where it is gone."""
        try:
            return self.holder()[self.key[-1]]
        except (KeyError, IndexError, TypeError):
            raise KeyError(self.path) from None

    def write(self, value: Any) -> None:
        """Set the number."""
        self.holder()[self.key[-1]] = value


@dataclass(frozen=True, eq=False)
class Settled:
    """A plain value that the step makes in its first run and keeps; `before`: None or MISSING."""

    place: ValuePlace
    before: Any
    value: Any

    @property
    def writable(self) -> bool:
        """Whether `put` and `take_back` can be done."""
        return self.before is None or isinstance(self.place.container, dict)

    def put(self) -> None:
        """Set the value, as the first step does."""
        self.place.write(self.value)

    def take_back(self) -> None:
        """Restore what was there before."""
        if self.before is None:
            self.place.write(None)
        else:
            self.place.container.pop(self.place.key, None)
