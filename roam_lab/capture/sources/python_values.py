"""Python values that a step changes itself (counters, logs, schedulers), as inputs and outputs of the captured step.

A number becomes a symbol, and the step's result for it is written back after each planned step. Likewise what the step
appends to a list is appended, a tensor that it binds to a name is bound, and a learning-rate scheduler is really
stepped. Anything else that the step changes is refused, naming it.
"""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import torch

from roam_lab.capture.sources.carried import CarriedError, check_carried, numbers_in
from roam_lab.capture.sources.containers import MISSING
from roam_lab.capture.sources.filled import FilledError
from roam_lab.capture.sources.guards import changed_paths
from roam_lab.capture.sources.output import How, Output
from roam_lab.capture.sources.places import OptimizerPlace, Settled, ValuePlace
from roam_lab.capture.sources.python_state import Change
from roam_lab.capture.sources.switched import Switched
from roam_lab.capture.sources.values import equal, is_plain
from roam_lab.capture.torch_internals import FakeTensor, pytree
from roam_lab.errors import CaptureError, FirstStepError

Symbolic = torch.SymInt | torch.SymFloat | torch.SymBool


class NumbersChangedError(Exception):
    """The step changes Python numbers that were constants of this trace; it has to be traced again with symbols."""

    def __init__(self, places: list[ValuePlace]) -> None:
        super().__init__()
        self.places = places


class SettledError(FirstStepError):
    """The step makes plain values that did not exist. They can be set before, and the step traced again."""

    def __init__(self, values: list[Settled]) -> None:
        super().__init__(_made_first(values[0].place.path))
        self.values = values


class PythonOutputs:
    """Turns the changes that a traced step made into outputs (`outputs`, with their leaves in `values`).

    `symbols`: (id of a container, key) of the numbers that are symbols of this trace. `read`: id -> tensor of the real
    tensors that the step read. `filled`: entries of the lists for which it is noted whether the step reads them.
    `is_symbol`: whether a word is the name of a symbol. `batch`: the leaves of the batch. `shares`: tensor -> the name
    of the input whose memory it shares, or None. `carried`: places of the tensors that are inputs of this trace.
    `looked_at`: id -> tensor of the real tensors that the step asks for a shape.
    """

    def __init__(
        self,
        symbols: Mapping[tuple[int, Any], Any],
        read: Mapping[int, torch.Tensor],
        filled: Collection[ValuePlace] = (),
        is_symbol: Callable[[str], bool] = lambda _: False,
        batch: Sequence[Any] = (),
        shares: Callable[[torch.Tensor], str | None] = lambda _: None,
        carried: Sequence[ValuePlace] = (),
        looked_at: Mapping[int, torch.Tensor] = MappingProxyType({}),
    ) -> None:
        self._symbols = symbols
        self._read, self._looked_at = read, looked_at
        self._noted = {id(place.container) for place in filled}
        self._is_symbol, self._shares = is_symbol, shares
        self._batch = {id(leaf): index for index, leaf in enumerate(batch) if isinstance(leaf, torch.Tensor)}
        self._filled: list[ValuePlace] = []
        self._inputs = {(id(place.container), place.key) for place in carried}
        self._carried: list[ValuePlace] = []
        self._constants: list[ValuePlace] = []
        self._made: dict[int, tuple[torch.Tensor, torch.Tensor]] = {}
        self.carried: dict[str, Any] = {}
        self.values: list[Any] = []
        self.outputs: list[Output] = []
        self.paths = {place.path for place in carried}
        self._settled: list[Settled] = []

    def take(self, changes: list[Change], was: Callable[[Any], Any]) -> None:
        """Turn `changes` into outputs. Raises NumbersChangedError, SettledError, FilledError, CarriedError, or
        CaptureError for a change that cannot be made again in every step.

        `was(container)`: its entries before the step.
        """
        renewed = [
            one
            for one in changes
            if one.kind == "object" and type(one.before) is type(one.after) and equal(was(one.before), one.after)
        ]  # another object with the same in it: GradScaler renews a dict at the end of each step
        gone = {id(one.before) for one in renewed}
        # a flag stays a condition: what the step makes of it may follow from what it was
        flags = [one for one in changes if type(one.before) is bool and type(one.after) is bool and one.key is not None]
        self.paths |= changed_paths([one for one in changes if one not in flags])
        constants = self._constants
        refused: list[CaptureError] = []
        for change in changes:
            if change in renewed or id(change.container) in gone:
                continue
            place = ValuePlace(change.container, change.key, change.path)
            symbol = self._symbols.get((id(change.container), change.key))
            if symbol is not None and change.after is symbol:
                continue  # the number that the step was given, and that it leaves
            if change in flags:
                self._put("assign", place, change.after)
            elif change.kind == "grown" and isinstance(change.container, list | deque):
                if id(change.container) not in self._noted:
                    self._noted.add(id(change.container))
                    self._filled.append(place)
                self._put("append", place, change.after)
            elif change.kind == "shrunk" and isinstance(change.container, deque) and change.container.maxlen:
                continue  # what append pushes out
            elif change.kind == "number" and is_number(change.before) and is_number(change.after):
                if (id(change.container), change.key) not in self._symbols:
                    constants.append(place)
                else:
                    self._put("assign", place, change.after)
            elif is_plain_number(change.before) and (id(change.container), change.key) not in self._symbols:
                constants.append(place)  # it may have been read before it was changed
            else:
                try:
                    self._assign(change, place)
                except FirstStepError:
                    raise
                except CaptureError as error:
                    refused.append(error)  # with other numbers as symbols it may be another matter
        if self._settled:
            raise SettledError(self._settled)
        if constants:
            raise NumbersChangedError(constants)
        if self._carried:
            raise CarriedError(self._carried)
        if refused:
            raise refused[0]
        if self._filled:
            raise FilledError(self._filled)

    def _assign(self, change: Change, place: ValuePlace) -> None:
        numbers = [one for one in numbers_in(place, change.before) if (id(one.container), one.key) not in self._symbols]
        if numbers and change.key is not None:
            self._constants += numbers
            return
        leaves = pytree.tree_leaves(change.after)
        self._refuse_texts(leaves, change.path)
        traced = any(isinstance(leaf, FakeTensor | Symbolic) for leaf in leaves)
        first = change.before is MISSING or change.before is None
        settled = is_plain(change.after) and (change.before is None or (first and isinstance(change.key, str)))
        if change.kind in ("random", "iterator") or not (traced or settled) or change.key is None:
            # hooks that a library installs in the first forward stay; it may be that the next step adds none
            raise FirstStepError(_cannot(change)) if _is_new_entry(change) else CaptureError(_cannot(change))
        if first:
            if traced:
                raise FirstStepError(_made_first(change.path))
            self._settled.append(Settled(place, change.before, change.after))
            return
        before = {id(leaf) for leaf in pytree.tree_leaves(change.before)}
        computes = not before.isdisjoint(self._read)
        if (id(change.container), change.key) in self._inputs:
            self.carried[change.path] = change.after
        elif computes or not before.isdisjoint(self._looked_at):
            check_carried(change.path, change.before, change.after, computes)
            self._carried.append(place)
            return
        self._put("assign", place, change.after)

    def take_optimizers(self, before: Mapping[OptimizerPlace, Any], now: Callable[[OptimizerPlace], Any]) -> None:
        """Turn changed numbers of optimizers into outputs. Raises NumbersChangedError and CaptureError."""
        constants: list[ValuePlace] = []
        for place, old in before.items():
            value = now(place)
            if value is old or (type(value) is type(old) and is_plain_number(value) and value == old):
                continue
            self.paths.add(place.path)
            if isinstance(old, tuple) and any(map(is_plain_number, old)):
                raise CaptureError(
                    f"the step changes {place.path}, a tuple of numbers that it may have read before; keep them one by "
                    "one, or change them outside the step"
                )
            if is_plain_number(old):
                constants.append(place)
            else:
                self._put("assign", place, value)
        if constants:
            raise NumbersChangedError(constants)

    def call(self, function: Callable[..., Any], path: str, args: Any, kwargs: Any) -> None:
        """Add a call that is made again after every planned step."""
        self._put("call", ValuePlace(None, None, path), (args, kwargs), function)

    def give_back(self, result: Any) -> None:
        """Add what the step returns. A planned step returns copies of tensors, which later steps do not overwrite."""
        values, outputs = self.values, self.outputs
        self.values, self.outputs = [], []
        self._put("return", ValuePlace(None, None, "what it returns"), result)
        self.values += values
        self.outputs += outputs

    def leave(self, gradients: Mapping[str, torch.Tensor]) -> None:
        """Add the gradients that the step makes and leaves, by the parameter's name; they are not copied."""
        if gradients:
            self._put("leave", ValuePlace(None, None, "gradients"), dict(gradients))

    def switch(
        self, before: Mapping[str, bool], now: Mapping[str, torch.Tensor], switched: Switched,
        path_of: Callable[[Any], str | None],
    ) -> None:  # fmt: skip
        """Add what the step leaves of `requires_grad`: of the model's tensors, by name, where it is not what it was
        `before`; and of others."""
        left = {name: one.requires_grad for name, one in now.items() if one.requires_grad != before[name]}
        if left:
            self._put("switch", ValuePlace(None, None, "requires_grad"), left)
        for tensor in switched.left(now.values()):
            path = f"{path_of(tensor) or 'a tensor'}.requires_grad"
            self._put("assign", ValuePlace(tensor, "requires_grad", path), tensor.requires_grad)

    def _put(self, how: How, place: ValuePlace, value: Any, function: Callable[..., Any] | None = None) -> None:
        leaves, spec = pytree.tree_flatten(value)
        self._refuse_texts(leaves, place.path)
        for leaf in leaves:
            if not isinstance(leaf, torch.Tensor | Symbolic | bool | int | float | complex | str | type(None)):
                kind = type(leaf).__name__
                does = f"returns a {kind}" if how == "return" else f"puts a {kind} into {place.path}"
                raise CaptureError(
                    f"the step {does}, which a planned step cannot make again; keep tensors and numbers there, or do "
                    "it after the step"
                )
        of_batch = {at: self._batch[id(leaf)] for at, leaf in enumerate(leaves) if id(leaf) in self._batch}
        leaves = [None if at in of_batch else leaf for at, leaf in enumerate(leaves)]
        for leaf in leaves:
            if how == "leave" or not isinstance(leaf, torch.Tensor):
                continue
            name, what = self._shares(leaf), "returns" if how == "return" else f"keeps in {place.path}"
            if name is None and (leaf.is_leaf or leaf.retains_grad) and leaf.grad is not None:
                raise CaptureError(
                    f"the step {what} a tensor with a gradient of its own, which it has not after a planned step; take "
                    "the gradient (.grad) instead"
                )
            if name is not None and how != "return":
                raise CaptureError(
                    f"the step {what} a view of {name}, of which a planned step would keep a copy; keep a copy "
                    "(.clone()), or the tensor itself"
                )
        self.values += [self._detached(leaf) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        self.outputs.append(Output(how, place, spec, len(leaves), function, of_batch))

    def _detached(self, tensor: torch.Tensor) -> torch.Tensor:
        """One for one: what the step puts into two places is one tensor in both."""
        if id(tensor) not in self._made:
            self._made[id(tensor)] = tensor, tensor.detach()
        return self._made[id(tensor)][1]

    def _refuse_texts(self, leaves: list[Any], path: str) -> None:
        """Raise CaptureError for a string that contains the name of a symbol of this trace."""
        texts = (leaf for leaf in leaves if isinstance(leaf, str))
        if any(self._is_symbol(word) for text in texts for word in re.findall(r"\w+", text)):
            raise CaptureError(
                f"the step writes a number that changes from step to step into a text ({path}), which a planned step "
                "would not do again; give the number by itself, or make the text after the step"
            )


def is_number(value: Any) -> bool:
    """Whether a value is a number that can become a symbol, or is one."""
    return (isinstance(value, int | float) and not isinstance(value, bool)) or isinstance(
        value, torch.SymInt | torch.SymFloat
    )


def is_plain_number(value: Any) -> bool:
    """Whether a value is an int or float, and no symbol or truth value."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_new_entry(change: Change) -> bool:
    return change.kind == "grown" and isinstance(change.container, dict)


def _made_first(path: str) -> str:
    return f"the step makes {path} in its first run and keeps it; run one eager step before"


def _cannot(change: Change) -> str:
    what = {
        "random": "draws from the random generator",
        "iterator": "takes from the iterator",
        "shrunk": "takes entries out of",
        "grown": "adds entries to",
    }.get(change.kind, "changes")
    return (
        f"the step {what} {change.path}, which a planned step would not do again; do that outside the step (a "
        "number may change in it, a list may grow)"
    )
