"""The inputs of a trace: a fake or a symbol for each tensor and number that the step is given or changes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch.fx import GraphModule

from roam_lab.capture.fake_mode import Fakes, StepFakeMode
from roam_lab.capture.inputs import (
    Input,
    batch_leaves,
    check_attributes,
    check_leaves,
    given_attributes,
    is_number,
    is_text,
    setting_inputs,
    state_inputs,
    with_leaves,
)
from roam_lab.capture.nodes import storage_key
from roam_lab.capture.prime import prime_optimizer
from roam_lab.capture.sources.containers import MISSING
from roam_lab.capture.sources.optimizers import settle_state, symbol_for, symbolic_settings
from roam_lab.capture.sources.places import OptimizerPlace, ValuePlace
from roam_lab.capture.sources.values import is_plain
from roam_lab.capture.torch_internals import pytree
from roam_lab.capture.trained import held_beside
from roam_lab.capture.training_step import TrainingStep
from roam_lab.errors import CaptureError


class TraceInputs:
    """Collects the inputs of one trace. `found`: the inputs so far; `values`: the fake or symbol of each; both in the
    order of the graph's placeholders.

    `parameters`: the step's, by name; `tensors`: name of a parameter or buffer -> its fake; `of_model`: those of them
    that the model holds. `symbols`: symbol -> its input. `leaves`: the batch's leaves as the step is given them;
    `batch_numbers`: indices of the leaves that are symbols; `batch_constants`: index -> value of those that are
    constants. `state`: inputs of optimizer state.
    """

    def __init__(self, training: TrainingStep, mode: StepFakeMode, fakes: Fakes) -> None:
        self._mode, self._fakes = mode, fakes
        self._optimizers = training.optimizers
        self.found: list[Input] = []
        self.values: list[Any] = []
        self.symbols: dict[Any, Input] = {}
        self.batch_numbers: set[int] = set()
        self.batch_constants: dict[int, Any] = {}
        self.leaves: list[Any] = []
        self._attributes: list[tuple[Any, dict[str, Any]]] = []
        self.state: list[tuple[Input, Any]] = []
        self._there: set[tuple[Any, ...]] = set()
        self.parameters = training.parameters
        named = [*self.parameters.items(), *training.model.named_buffers()]
        self.tensors: dict[str, torch.Tensor] = {name: fakes(value) for name, value in named}
        beside = held_beside(training.model, self._optimizers)
        self.of_model = {name: one for name, one in self.tensors.items() if name not in beside}
        for name, tensor in self.tensors.items():
            self._enter(Input("parameter" if name in self.parameters else "buffer", (name,)), tensor)
        for name, parameter in self.parameters.items() if training.adds else ():
            if parameter.grad is not None:
                _refuse_gradient(name, parameter.grad)
                gradient = self.tensors[name].grad = fakes(parameter.grad)
                self._enter(Input("gradient", (name,)), gradient)

    def _enter(self, found: Input, value: Any) -> None:
        self.found.append(found)
        self.values.append(value)

    def enter_batch(self, batch: Any, frozen: set[int]) -> Any:
        """The batch with fakes and symbols for its leaves. `frozen`: indices of numbers that stay constants. Raises
        CaptureError."""
        leaves = batch_leaves(batch)
        check_leaves(leaves)
        check_attributes(batch)
        for index, leaf in enumerate(leaves):
            found = Input("batch", (index,))
            if isinstance(leaf, torch.Tensor):
                leaves[index] = self._fakes(_alias(leaf))  # one tensor under two names is two inputs
                vars(leaves[index]).update(given_attributes(leaf))
                self._attributes.append((leaves[index], dict(vars(leaves[index]))))
                if leaf.is_leaf and leaf.requires_grad:
                    leaves[index].requires_grad_()
                    if leaf.grad is not None:
                        raise CaptureError(
                            "a tensor of the batch has a gradient from before, to which the step may add; clear it "
                            "(.grad = None)"
                        )
                self._enter(found, leaves[index])
            elif is_number(leaf) and index not in frozen:
                self.batch_numbers.add(index)
                symbol, leaves[index] = symbol_for(self._mode.settings, leaf, f"batch_{index}")
                self.symbols[symbol] = found
                self._enter(found, leaves[index])
            elif is_text(leaf) or is_number(leaf):
                self.batch_constants[index] = leaf
        self.leaves = leaves
        return with_leaves(batch, leaves)

    def changed_attribute(self) -> str | None:
        """The name of an attribute that a tensor of the batch did not have, or had otherwise, before the step; None
        where there is none."""
        name: str
        for leaf, before in self._attributes:
            for name, value in vars(leaf).items():
                known = before.get(name, MISSING)
                if value is not known and not name.startswith("_") and (known is MISSING or is_plain(known)):
                    return name
        return None

    def enter_state(self) -> None:
        """Make inputs of the optimizers' state. The optimizers must hold fakes by then."""
        self._there = {found.path[:2] for found, _ in state_inputs(self._optimizers, self.fake_names())}
        with self._mode:
            for optimizer in self._optimizers:
                prime_optimizer(optimizer, fake=True)
        settle_state(self._optimizers, self._fakes)
        self.state = list(state_inputs(self._optimizers, self.fake_names()))
        for found, value in self.state:
            self._enter(found, value)

    def enter_optimizers(self) -> None:
        """Make inputs of the optimizers' state and settings. The optimizers must hold fakes by then."""
        self.enter_state()
        self.symbols |= symbolic_settings(self._optimizers, self._mode.settings, self.found, self.values)

    def fake_names(self) -> dict[int, str]:
        """id(fake of a parameter) -> its name."""
        return {id(self.tensors[name]): name for name in self.parameters}

    def enter_numbers(
        self, places: list[ValuePlace], values: list[Any], names: dict[int, str]
    ) -> dict[tuple[int, Any], Any]:
        """Make inputs of Python numbers that the step changes itself, and write their symbols to their places.

        `values`: their present values. `names`: of the parameters, by id. Returns (id of a container, key) -> symbol.
        """
        made: dict[tuple[int, Any], Any] = {}
        for index, (place, value) in enumerate(zip(places, values, strict=True)):
            found = Input("python", (index, place.path))
            symbol, number = symbol_for(self._mode.settings, value, f"python_{index}")
            self.symbols[symbol] = found
            if isinstance(place, OptimizerPlace):
                parameter = None if isinstance(place.owner, int) else self.tensors[names[id(place.owner)]]
                place.holder(parameter)[place.key[-1]] = number
            else:
                place.write(number)
                made[id(place.container), place.key] = number
            self._enter(found, number)
        return made

    def enter_carried(self, places: Sequence[ValuePlace]) -> None:
        """Make inputs of the tensors that the step reads and binds anew, and write their fakes to their places. Raises
        CaptureError where one is another input, too."""
        for index, place in enumerate(places):
            leaves, spec = pytree.tree_flatten(place.read())
            for at, leaf in enumerate(leaves):
                if isinstance(leaf, torch.Tensor):
                    leaves[at] = self._fakes(leaf)
                    if (name := self.shared_with(leaves[at])) is not None:
                        raise CaptureError(
                            f"the step binds a new tensor to {place.path}, which it reads, and which is {name}, too; "
                            "bind a copy there (.clone())"
                        )
                    self._enter(Input("carried", (index, at, place.path)), leaves[at])
            place.write(pytree.tree_unflatten(leaves, spec))

    def without_cleared(self, module: GraphModule) -> tuple[Input, ...]:
        """The inputs without old gradients that nothing in the module uses, and without state of optimizers that have
        made none and that the step does not step. Their placeholders are removed."""
        placeholders = [node for node in module.graph.nodes if node.op == "placeholder"]
        pairs = list(zip(placeholders, self.found, strict=True))
        of_state = {found.path[:2] for node, found in pairs if found.kind == "state" and node.users} | self._there
        kept: list[Input] = []
        for node, found in pairs:
            not_made = found.kind == "state" and found.path[:2] not in of_state
            if not_made or (found.kind == "gradient" and not node.users):
                module.graph.erase_node(node)
            else:
                kept.append(found)
        return tuple(kept)

    def shared_with(self, tensor: torch.Tensor) -> str | None:
        """The name of the input whose memory a tensor shares; None where it has its own."""
        key = storage_key(tensor)
        for found, value in zip(self.found, self.values, strict=True):
            if isinstance(value, torch.Tensor) and storage_key(value) == key:
                return str(found)
        return None

    def grown_state(self) -> Input | None:
        """A tensor of optimizer state that the step has added to what its parameter had before; None where there is
        none. First state is none of these: it was made, and entered, before the step."""
        entered = {found for found, _ in self.state}
        present = (found for found, _ in state_inputs(self._optimizers, self.fake_names()))
        return next((found for found in present if found.path[:2] in self._there and found not in entered), None)

    def present_state(self, found: Input) -> Any:
        """The present value of an input of optimizer state; None where it is gone."""
        number, name, *keys = found.path
        value: Any = self._optimizers[number].state.get(self.tensors[name], {})
        try:
            for key in keys:
                value = value[key]
        except (KeyError, IndexError, TypeError):
            return None
        return value


def serials_of(
    training: TrainingStep, batch: Any, serial: Callable[[torch.Tensor], int | None]
) -> dict[Input, int]:  # fmt: skip
    """Input -> the number, in an op log, of the storage that its tensor has now; `serial` gives that of a tensor."""
    parameters, optimizers = training.parameters, training.optimizers
    names = {id(parameter): name for name, parameter in parameters.items()}
    named: list[tuple[Input, Any]] = [(Input("parameter", (name,)), one) for name, one in parameters.items()]
    named += [(Input("buffer", (name,)), one) for name, one in training.model.named_buffers()]
    named += [(Input("batch", (index,)), leaf) for index, leaf in enumerate(batch_leaves(batch))]
    named += [*state_inputs(optimizers, names), *setting_inputs(optimizers)]
    numbers = ((found, serial(one)) for found, one in named if isinstance(one, torch.Tensor))
    return {found: number for found, number in numbers if number is not None}


def _refuse_gradient(name: str, gradient: torch.Tensor) -> None:
    """Raise CaptureError for an old gradient that cannot be an input."""
    if gradient.requires_grad or gradient.layout is not torch.strided:
        raise CaptureError(
            f"the gradient of {name} from before is sparse, or requires a gradient itself; clear it (.grad = None)"
        )


def _alias(tensor: torch.Tensor) -> torch.Tensor:
    """Another tensor object in the same memory, with autograd's history where there is one."""
    return tensor.detach() if tensor.is_leaf and tensor.requires_grad else tensor.view_as(tensor)
