"""One training step -> one fx graph of ATen ops, on fake tensors: nothing is computed, no weight is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import GraphModule, Node
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.utils.stateless import _reparametrize_module

from roam_lab.capture.conditions import Condition, conditions_of
from roam_lab.capture.eager_answers import answered_as_in_eager, fakes_are_tensors
from roam_lab.capture.fake_mode import Fakes, StepFakeMode, no_answer
from roam_lab.capture.fused import FusedOptimizerMode
from roam_lab.capture.guide import Guide, ShapeOfValuesError
from roam_lab.capture.host_values import READ
from roam_lab.capture.inputs import (
    Input,
    batch_leaves,
    check_leaves,
    groups_of,
    is_number,
    is_text,
    parameter_names,
    state_inputs,
    with_leaves,
)
from roam_lab.capture.known_values import KnownValues
from roam_lab.capture.lists import tolist_as_ops
from roam_lab.capture.nodes import storage_key
from roam_lab.capture.outside import OutsideTensors
from roam_lab.capture.prime import prime_optimizer
from roam_lab.capture.provenance import ProvenanceMode, follow, own_nodes
from roam_lab.capture.refusal import explain, refuse_closure, refuse_sparse, refuse_wrapped, unlogged
from roam_lab.capture.rng import rng_as_ops
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.sources.optimizers import (
    host_state,
    numbers_of,
    settle_state,
    steps_noted,
    swapped,
    symbol_for,
    symbolic_min_max,
    symbolic_settings,
)
from roam_lab.capture.sources.python_state import Change, PythonState
from roam_lab.capture.sources.python_values import (
    NumbersChangedError,
    OptimizerPlace,
    Output,
    PythonOutputs,
    ValuePlace,
    schedulers_noted,
)
from roam_lab.capture.sources.reachable import reach
from roam_lab.capture.sources.rebinding import Rebinding, data_assignments
from roam_lab.capture.training_step import TrainingStep, roots_of
from roam_lab.errors import CaptureError, DataDependentError, FirstStepError, RoamError
from roam_lab.interrupt import held
from roam_lab.ir.op_log import OpLog

MOST_NUMBERS = 1_000
"""Python numbers that a step may change."""


@dataclass(frozen=True)
class Trace:
    """A traced step: `module`'s placeholders are `inputs`, in order.

    `guards`: sympy conditions on settings (a weight decay that is not zero, ...) under which the trace is right;
    `symbols` names each setting's symbol. `conditions`: those on numbers that the step reads out of tensors.
    `updated`: names of the parameters that received a gradient. `held`: the constants that are attributes of modules,
    as (module, name, tensor). `guided`: an op log of the eager step led the trace. `places`: of the Python numbers
    that are inputs; `outputs`: what the step does to Python objects, whose tensors and numbers the module returns after
    the loss; `changed`: the paths of all that. `batch_constants`: the leaves of the batch that are constants of the
    trace: strings, and numbers that shapes depend on. `cleared`: the names of the parameters whose gradient left from
    before is cleared before one is added.
    """

    module: GraphModule
    inputs: tuple[Input, ...]
    guards: tuple[Any, ...]
    symbols: Mapping[Any, Input]
    conditions: tuple[Condition, ...]
    updated: tuple[str, ...]
    held: tuple[tuple[torch.nn.Module, str, torch.Tensor], ...]
    guided: bool
    places: tuple[ValuePlace, ...] = ()
    outputs: tuple[Output, ...] = ()
    changed: frozenset[str] = frozenset()
    batch_constants: Mapping[int, Any] = field(default_factory=dict)
    cleared: frozenset[str] = frozenset()


def trace_step(
    training: TrainingStep,
    batch: Any,
    device: torch.device | None,
    check: Callable[[], None],
    log: OpLog | None = None,
    numbers: tuple[ValuePlace, ...] = (),
) -> Trace:
    """Trace `training` on `batch` with make_fx. The model, optimizers and batch are left as they were.

    `device` stands in for tensors on the meta device. `check` is called before each op: what it raises ends the trace.
    `log`: what the eager step ran, which the trace then follows op by op, branches on values included. `numbers`:
    Python numbers that are inputs, whether the step changes them or not.
    Raises CaptureError (DataDependentError where a shape, or without a log a branch, depends on values) naming the
    user's line.
    """
    fixed: set[int] = set()
    frozen: set[int] = set()
    places: list[ValuePlace] = list(numbers)
    as_eager = True
    while True:
        tracer = _Tracer(training, batch, device, check, log, fixed, frozen, places, as_eager)
        try:
            return tracer.trace()
        except DataDependentError:
            if log is not None or not as_eager:
                raise
            as_eager = False  # models that look at values in eager alone (at a mask) can be captured without values
        except ShapeOfValuesError:
            whole = tracer.unfixed_whole_numbers()
            if not whole and not tracer.batch_numbers - frozen:
                named = ", ".join(place.path for place in places[:3]) or "a value"
                raise DataDependentError(
                    f"the step takes a shape from {named}, which changes from step to step; keep shapes fixed, or keep "
                    "that part outside the step"
                ) from None
            fixed |= whole
            if not whole:
                frozen |= tracer.batch_numbers
        except NumbersChangedError as error:
            if len(places) > MOST_NUMBERS:
                raise CaptureError(
                    f"the step changes more than {MOST_NUMBERS} Python numbers, the last {error.places[-1].path}; keep "
                    "them in a tensor"
                ) from None
            places += error.places


def refuse_at_sight(training: TrainingStep) -> dict[int, str]:
    """id(parameter) -> name. Raises CaptureError for what can be told without running or tracing anything."""
    names = parameter_names(training.model, training.optimizers)
    refuse_wrapped(training.model)
    for optimizer in training.optimizers:
        refuse_closure(optimizer)
    return names


class _Tracer:
    """One trace. `fixed`: the numbers read out of tensors that shapes depend on (`HostValues`); `places`: the Python
    numbers that are symbols; `as_eager`: libraries that ask are told that nothing is traced."""

    def __init__(
        self,
        training: TrainingStep,
        batch: Any,
        device: torch.device | None,
        check: Callable[[], None],
        log: OpLog | None,
        fixed: set[int],
        frozen: set[int],
        places: list[ValuePlace],
        as_eager: bool,
    ) -> None:
        self.training, self.model, self.optimizers = training, training.model, training.optimizers
        self.names = refuse_at_sight(training)
        self.fixed, self.frozen, self.places, self.as_eager = fixed, frozen, places, as_eager
        self.batch_numbers: set[int] = set()
        self.batch_symbols: dict[Any, Input] = {}
        self.batch_constants: dict[int, Any] = {}
        self.guide = None if log is None else Guide(log)
        self.mode = StepFakeMode(self.guide, fixed)
        self.fakes = Fakes(self.mode, device)
        self.outside = OutsideTensors(self.fakes)
        self.provenance = ProvenanceMode(self.outside, check, self.guide)
        if log is None:
            self.mode.answer = self._known_answer  # taken off again when the trace is over
        self.updated: list[str] = []
        self._stepped = False
        self._cleared: set[str] = set()
        self._left: dict[str, torch.Tensor] = {}
        self._scheduled: str | None = None
        named = [*self.model.named_parameters(), *self.model.named_buffers()]
        self.tensors = {name: self.fakes(value) for name, value in named}
        self.parameters = [name for name, _ in self.model.named_parameters()]
        self.inputs: list[Input] = []
        self.values: list[Any] = []
        for name, tensor in self.tensors.items():
            self._enter(Input("parameter" if name in set(self.parameters) else "buffer", (name,)), tensor)
        self.batch = self._enter_batch(batch)
        if log is None:
            self.provenance.known = KnownValues(self.inputs, batch_leaves(batch))
        self.rebinding = Rebinding({id(tensor): name for name, tensor in self.tensors.items()}, self._copied)

    def _enter(self, found: Input, value: Any) -> None:
        self.inputs.append(found)
        self.values.append(value)

    def _enter_batch(self, batch: Any) -> Any:
        leaves = batch_leaves(batch)
        check_leaves(leaves)
        for index, leaf in enumerate(leaves):
            if isinstance(leaf, torch.Tensor):
                leaves[index] = self.fakes(leaf.view_as(leaf))  # one tensor under two names is two inputs
                self._enter(Input("batch", (index,)), leaves[index])
            elif is_number(leaf) and index not in self.frozen:
                found = Input("batch", (index,))
                self.batch_numbers.add(index)
                symbol, leaves[index] = symbol_for(self.mode.settings, leaf, f"batch_{index}")
                self.batch_symbols[symbol] = found
                self._enter(found, leaves[index])
            elif is_text(leaf) or is_number(leaf):
                self.batch_constants[index] = leaf
        self.leaves = leaves
        return with_leaves(batch, leaves)

    def _known_answer(self) -> bool | int | None:
        answer, self.provenance.answer = self.provenance.answer, None
        return answer

    def unfixed_whole_numbers(self) -> set[int]:
        """The whole numbers read out of tensors that are symbols so far."""
        values = self.mode.values
        assert values is not None
        return {number for symbol, number in values.symbols.items() if symbol.is_integer} - self.fixed

    def trace(self) -> Trace:
        """Raises ShapeOfValuesError where a shape depends on a number read out of a tensor that is not fixed yet."""
        self.reachable = reach(roots_of(self.training))
        random, self.python = RandomState(), PythonState(self.reachable)
        self.before = [place.read() for place in self.places]
        try:
            with swapped(self.optimizers, self.fakes, self.names, self.tensors):
                symbols = self.batch_symbols | self._enter_optimizers() | self._enter_numbers()
                self.numbers = numbers_of(self.optimizers, self._fake_names(), dict(self.model.named_parameters()))
                module = self._made()
                refuse_sparse(module)
                self.outside.check_gradients()
                random.check()
            held_tensors = self.outside.held(self.model)
        except (ShapeOfValuesError, NumbersChangedError):
            raise
        except Exception as error:
            if not isinstance(error, RoamError) and self.unfixed_whole_numbers():
                raise ShapeOfValuesError from error
            raise explain(error, eager_runs=self.guide is not None) from error
        finally:
            with held():
                self.outside.drop_gradients()
                self.python.restore()
                random.restore()
                # autograd's graph, which no collector looks into, holds fakes, and each fake its mode: a mode that
                # referred to this trace would keep all of them
                self.mode.answer = no_answer
                self.provenance.known = None
        self._refuse_open_shapes(module)
        environment, values = self.mode.settings, self.mode.values
        assert values is not None
        guards, conditions = conditions_of(environment.guards, values, module.graph, symbols)
        module.graph.eliminate_dead_code(lambda node: _has_effect(node) or any(node in c.nodes for c in conditions))
        self._refuse_gradients_read(module)
        return Trace(
            module,
            tuple(self.inputs),
            guards,
            symbols,
            conditions,
            tuple(dict.fromkeys(self.updated)),
            held_tensors,
            self.guide is not None,
            tuple(self.places),
            tuple(self.python_outputs.outputs),
            frozenset(self.python_outputs.paths) | {place.path for place in self.places},
            self.batch_constants,
            frozenset(self._cleared),
        )

    def _enter_optimizers(self) -> dict[Any, Input]:
        """State and settings as inputs; returns the symbols of the settings."""
        with self.mode:
            for optimizer in self.optimizers:
                prime_optimizer(optimizer, fake=True)
        settle_state(self.optimizers, self.fakes)
        self.state = list(state_inputs(self.optimizers, self._fake_names()))
        for found, value in self.state:
            self._enter(found, value)
        return symbolic_settings(self.optimizers, self.mode.settings, self.inputs, self.values)

    def _fake_names(self) -> dict[int, str]:
        return {id(self.tensors[name]): name for name in self.parameters}

    def _enter_numbers(self) -> dict[Any, Input]:
        """Python numbers that the step changes itself as inputs; returns their symbols."""
        symbols: dict[Any, Input] = {}
        made: dict[tuple[int, Any], Any] = {}
        for index, place in enumerate(self.places):
            value, found = self.before[index], Input("python", (index, place.path))
            symbol, number = symbol_for(self.mode.settings, value, f"python_{index}")
            symbols[symbol] = found
            if isinstance(place, OptimizerPlace):
                parameter = None if isinstance(place.owner, int) else self.tensors[self.names[id(place.owner)]]
                place.holder(parameter)[place.key[-1]] = number
            else:
                place.write(number)
                made[id(place.container), place.key] = number
            self._enter(found, number)
        self.python_outputs = PythonOutputs(made, self.outside.met)
        return symbols

    def _made(self) -> GraphModule:
        before = host_state(self.optimizers)
        residents = {id(tensor): name for name, tensor in self.tensors.items()}
        with (
            self.mode,
            FusedOptimizerMode(self.provenance),
            symbolic_min_max(self.optimizers),
            rng_as_ops(),
            unlogged(),
            answered_as_in_eager() if self.as_eager else fakes_are_tensors(),
            tolist_as_ops(),
            data_assignments(self.rebinding, residents),
        ):
            module = make_fx(self._traced, _allow_non_fake_inputs=True)(*self.values)
        changed = [o for o, a, b in zip(self.optimizers, before, host_state(self.optimizers), strict=True) if a != b]
        if changed:
            raise FirstStepError(
                f"{type(changed[0]).__name__} makes state in its first step, or counts in Python numbers, which a "
                "captured step cannot do; run one eager step first, or use an optimizer with state in tensors"
            )
        return module

    def _traced(self, *_: Any) -> tuple[Any, ...]:
        with _reparametrize_module(self.model, dict(self.tensors), tie_weights=True):
            with (
                _zeroing_noted(self.model, self.optimizers, self._note_cleared) as zeroed,
                follow(self.provenance, self.model, self.optimizers),
                steps_noted(self.optimizers, self._note_updated),
                schedulers_noted(self.reachable, self._note_scheduler) as schedulers,
            ):
                loss = self.training.run(self.batch)
            if self.guide is not None:
                self.guide.finish()
            self._check_batch()
            _check_step(loss, [self.tensors[name] for name in self.parameters], zeroed, self._stepped)
            left = {name: self.tensors[name].grad for name in self.parameters if name not in self._cleared}
            self._left = {name: gradient for name, gradient in left.items() if gradient is not None}
            self.rebinding.check(self._holders())
            for name, buffer in self.model.named_buffers():
                if name in self.tensors and buffer is not self.tensors[name]:
                    self._write_back(f"buffer {name}", self.tensors[name], buffer)
            for found, value in self.state:
                present = _present(self.optimizers, self.tensors, found)
                if present is not value:
                    self._write_back(str(found), value, present)
            self.python_outputs.take_optimizers(self.numbers, self._present_number)
            changes = [one for one in self.python.changes() if not self._is_own(one, schedulers)]
            self.python_outputs.take(changes, self.python.was)
        return (loss.detach(), *self.python_outputs.values)

    def _check_batch(self) -> None:
        """Raises CaptureError where the step takes something out of its batch, or puts something in."""
        after = batch_leaves(self.batch)
        if len(after) != len(self.leaves) or any(
            one is not other for one, other in zip(after, self.leaves, strict=True)
        ):
            raise CaptureError(
                "the step changes its batch (takes entries out, or puts others in), which a planned step would not do "
                "again; let it work on a copy, such as dict(batch)"
            )

    def _present_number(self, place: OptimizerPlace) -> Any:
        parameter = None if isinstance(place.owner, int) else self.tensors[self.names[id(place.owner)]]
        try:
            return place.holder(parameter)[place.key[-1]]
        except (KeyError, IndexError, TypeError):
            return None

    def _is_own(self, change: Change, schedulers: set[int]) -> bool:
        """Whether capture itself made the change: fakes in place of tensors, what notes calls, what torch counts."""
        if self._is_fake_of(change.after, change.before):
            return True
        if isinstance(change.before, list) and self._is_fake_of(change.after, self.python.was(change.before)):
            return True  # an RNN lists its weights anew
        if change.key == "step" and id(change.container) in schedulers:
            return True
        if change.key in ("_opt_called", "zero_grad", "_flat_weight_refs", "_need_device_dtype_check_for_fused"):
            return True
        if isinstance(change.after, torch.Tensor) and id(change.after) in {id(one) for one in self.tensors.values()}:
            return True
        if change.path.endswith(".data") and change.key == "data":
            return True  # fakes have no memory that could have been exchanged
        owned = {id(vars(one)) for one in self.optimizers} | {id(group) for _, _, group in groups_of(self.optimizers)}
        owned |= {id(group["params"]) for _, _, group in groups_of(self.optimizers)}
        return id(change.container) in owned and change.key in ("state", "params", *_settings_of(change.container))

    def _is_fake_of(self, fake: Any, real: Any) -> bool:
        """Whether it is the fake of a tensor, or a list of fakes (LSTM's weights) in place of a list of tensors."""
        if isinstance(real, torch.Tensor):
            return fake is self.fakes.made(real)
        if not isinstance(real, list | tuple) or type(fake) is not type(real) or len(fake) != len(real) or not real:
            return False
        return all(self._is_fake_of(a, b) or a is b for a, b in zip(fake, real, strict=True))

    def _note_scheduler(self, function: Callable[..., Any], path: str, args: Any, kwargs: Any) -> None:
        self._scheduled = path
        self.python_outputs.call(function, path, args, kwargs)

    def _note_cleared(self, owner: Any) -> None:
        """`owner.zero_grad` is about to be called: what of its parameters has no gradient yet is cleared first."""
        held = owner.parameters() if owner is self.model else (p for g in owner.param_groups for p in g["params"])
        clear = {id(parameter) for parameter in held if parameter.grad is None}
        self._cleared.update(name for name in self.parameters if id(self.tensors[name]) in clear)

    def _refuse_gradients_read(self, module: GraphModule) -> None:
        """Raises CaptureError where the next step would add to a gradient that this one leaves, and something reads it:
        what is left in the graph, without what is not used, says so."""
        values = [
            node.meta.get("val") for node in module.graph.nodes
        ]  # of several results, each that is read is a node
        kept = {storage_key(value) for value in values if isinstance(value, torch.Tensor)}
        for name, gradient in self._left.items():
            if storage_key(gradient) in kept:
                raise CaptureError(
                    f"the gradient of {name} stays set after the step, and the next step would add to it and use the "
                    "sum; clear all gradients inside the step (model.zero_grad())"
                )

    def _note_updated(self) -> None:
        if self._scheduled is not None:
            raise CaptureError(
                f"the step calls {self._scheduled}() and steps an optimizer after it, with the new rate; call it "
                "last, or outside the step"
            )
        self._stepped = True
        self.updated.extend(name for name in self.parameters if self.tensors[name].grad is not None)

    def _holders(self) -> Iterator[tuple[str, torch.Tensor]]:
        for name, buffer in self.model.named_buffers():
            yield f"buffer {name}", buffer
        for found, _ in self.state:
            present = _present(self.optimizers, self.tensors, found)
            if isinstance(present, torch.Tensor):
                yield str(found), present

    def _write_back(self, name: str, place: torch.Tensor, value: Any) -> None:
        """The step bound a new tensor to a name: its value goes to the place of the old one."""
        if not isinstance(value, torch.Tensor) or value.shape != place.shape or value.dtype != place.dtype:
            told = f"{tuple(value.shape)} {value.dtype}" if isinstance(value, torch.Tensor) else type(value).__name__
            raise CaptureError(
                f"the step binds {told} to {name}, which was {tuple(place.shape)} {place.dtype}; keep its shape and "
                "type, and write it in place (copy_)"
            )
        with torch.no_grad(), own_nodes():
            place.copy_(value)

    def _copied(self, target: torch.Tensor, value: torch.Tensor) -> None:
        """`target.data = value`: eager runs no op for it, so the log has none."""
        if self.guide is not None:
            self.guide.rebound(target, value)
        with self.provenance.unguided():
            target.data.copy_(value)

    def _refuse_open_shapes(self, module: GraphModule) -> None:
        """Raises ShapeOfValuesError where a size, stride or offset depends on a number that is not fixed yet."""
        if not self.unfixed_whole_numbers():
            return
        for node in module.graph.nodes:
            value = node.meta.get("val")
            for tensor in value if isinstance(value, list | tuple) else [value]:
                if isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided:
                    sizes = (*tensor.shape, *tensor.stride(), tensor.storage_offset())
                    if any(not isinstance(size, int) for size in sizes):
                        raise ShapeOfValuesError


def _settings_of(container: Any) -> tuple[Any, ...]:
    """The keys of a parameter group, whose numbers `take_optimizers` looks after."""
    return tuple(container) if isinstance(container, dict) and "params" in container else ()


def _present(optimizers: Any, tensors: Mapping[str, torch.Tensor], found: Input) -> Any:
    """The present value of an optimizer's state, None where it is gone."""
    number, name, *keys = found.path
    value: Any = optimizers[number].state.get(tensors[name], {})
    try:
        for key in keys:
            value = value[key]
    except (KeyError, IndexError, TypeError):
        return None
    return value


def _has_effect(node: Node) -> bool:
    """Ops that must stay without users: those that write, draw random numbers, or are inputs and outputs."""
    if node.op != "call_function":
        return node.op in ("placeholder", "output")
    target = node.target
    if not isinstance(target, torch._ops.OpOverload):
        return False
    if target.namespace == "profiler":
        return False
    if target is READ:
        return True  # with a log it may be a condition's; the graph is to be the same without
    return target._schema.is_mutable or torch.Tag.nondeterministic_seeded in target.tags


@contextmanager
def _zeroing_noted(model: torch.nn.Module, optimizers: Any, note: Callable[[Any], None]) -> Iterator[list[bool]]:
    """Note whether the step clears gradients itself; `note(owner)` is called before each time."""
    noted: list[bool] = []

    def wrap(owner: Any, original: Callable[..., None]) -> Callable[..., None]:
        def zero_grad(*args: Any, **kwargs: Any) -> None:
            note(owner)
            noted.append(True)
            original(*args, **kwargs)

        return zero_grad

    owners: list[Any] = [model, *optimizers]
    for owner in owners:
        owner.zero_grad = wrap(owner, owner.zero_grad)
    try:
        yield noted
    finally:
        for owner in owners:
            del owner.zero_grad


def _check_step(loss: Any, parameters: list[torch.Tensor], zeroed: list[bool], updated: bool) -> None:
    if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
        found = f"shape {tuple(loss.shape)}" if isinstance(loss, torch.Tensor) else type(loss).__name__
        raise CaptureError(f"the step does not return a scalar loss tensor ({found}); return the loss")
    left = any(p.grad is not None for p in parameters)
    if left and not updated:
        raise CaptureError(
            "the step leaves gradients and steps no optimizer, so they are meant for a later call; do all "
            "micro-batches of one update in one step"
        )
    if left and not zeroed:
        raise CaptureError(
            "gradients stay set after the step and the step never clears them, so the next one would add to them; "
            "call optimizer.zero_grad() inside the step"
        )
