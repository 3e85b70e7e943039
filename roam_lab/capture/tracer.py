"""Tracing one training step into one fx graph of ATen ops, on fake tensors: nothing is computed, no weights are
needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.fx import GraphModule

from roam_lab.capture.conditions import conditions_of
from roam_lab.capture.eager_answers import answered_as_in_eager, autocast_cache, fakes_are_tensors
from roam_lab.capture.fake_mode import Fakes, StepFakeMode, no_answer
from roam_lab.capture.fused import FusedOptimizerMode
from roam_lab.capture.gradients import Gradients, LeftForLaterError, how_it_lies
from roam_lab.capture.guide import Guide, ShapeOfValuesError
from roam_lab.capture.inputs import batch_leaves
from roam_lab.capture.known import Known
from roam_lab.capture.known_values import KnownValues
from roam_lab.capture.lists import tolist_as_ops
from roam_lab.capture.moves import must_stay
from roam_lab.capture.outside import OutsideTensors
from roam_lab.capture.own_changes import OwnChanges
from roam_lab.capture.provenance import META_KEY, ProvenanceMode, follow
from roam_lab.capture.refusal import explain, refuse_own_generators, refuse_sparse, unlogged
from roam_lab.capture.rng import rng_as_ops
from roam_lab.capture.snapshot import Leaves, RandomState
from roam_lab.capture.sources.carried import CarriedError, LooksMode, check_alone
from roam_lab.capture.sources.filled import FilledError, reads_noted
from roam_lab.capture.sources.held_parameters import held_parameters_replaced
from roam_lab.capture.sources.optimizers import host_state, numbers_of, swapped, symbolic_min_max
from roam_lab.capture.sources.places import OptimizerPlace
from roam_lab.capture.sources.python_state import PythonState
from roam_lab.capture.sources.python_values import NumbersChangedError, PythonOutputs, SettledError
from roam_lab.capture.sources.reachable import Reachable, reach
from roam_lab.capture.sources.rebinding import Rebinding, data_assignments
from roam_lab.capture.sources.schedulers import Noted, schedulers_noted
from roam_lab.capture.sources.switched import Switched
from roam_lab.capture.sources.symbols_as_numbers import symbols_as_numbers
from roam_lab.capture.sources.world import World
from roam_lab.capture.step_end import StepEnd
from roam_lab.capture.torch_internals import make_fx, parameters_replaced
from roam_lab.capture.trace import Trace, refuse_at_sight
from roam_lab.capture.trace_inputs import TraceInputs
from roam_lab.capture.training_step import TrainingStep, roots_of
from roam_lab.capture.user_lines import traceback_user_line
from roam_lab.capture.whole_ops import ops_kept_whole
from roam_lab.errors import CaptureError, FirstStepError, RoamError
from roam_lab.interrupt import held
from roam_lab.ir.op_log import OpLog

_AGAIN = (ShapeOfValuesError, NumbersChangedError, SettledError, FilledError, CarriedError, LeftForLaterError)
"""Exceptions after which the step is traced once more, with what they say."""


class Tracer:
    """One trace of a step. `batch_numbers`: the numbers in the batch that are symbols."""

    def __init__(
        self,
        training: TrainingStep,
        batch: Any,
        device: torch.device | None,
        check: Callable[[], None],
        log: OpLog | None,
        known: Known,
    ) -> None:
        self._training, self._model, self._optimizers = training, training.model, training.optimizers
        self._names = refuse_at_sight(training)
        self._known = known.copied()
        self._guide = None if log is None else Guide(log)
        self._mode = StepFakeMode(self._guide, known.fixed)
        self._fakes = Fakes(self._mode, device)
        self._outside = OutsideTensors(self._fakes)
        self._provenance = ProvenanceMode(self._outside, check, self._guide)
        self._inputs = TraceInputs(training, self._mode, self._fakes)
        self._tensors = self._inputs.tensors
        parameters = {name: self._tensors[name] for name in self._inputs.parameters}
        self._gradients = Gradients(training, parameters, self._before_update, known.later)
        self._stays, self._scheduled = frozenset[str](), ""
        self._batch = self._inputs.enter_batch(batch, known.frozen)
        if log is None:
            self._mode.answer = self._known_answer  # taken off again when the trace is over
            self._provenance.known = KnownValues(self._inputs.found, batch_leaves(batch))
        self._rebinding = Rebinding({id(tensor): name for name, tensor in self._tensors.items()}, self._copied)
        self._looks = LooksMode()
        self._end = StepEnd(training.model, self._inputs, self._rebinding)
        self._switched = Switched(self._fakes.made)
        self._trained = {name: one.requires_grad for name, one in self._tensors.items()}

    @property
    def batch_numbers(self) -> set[int]:
        return self._inputs.batch_numbers

    def unfixed_whole_numbers(self) -> set[int]:
        """The integers read out of tensors that are still symbols (numbers of `HostValues`)."""
        values = self._mode.values
        assert values is not None
        return {number for symbol, number in values.symbols.items() if symbol.is_integer} - self._known.fixed

    def trace(self) -> Trace:
        """Trace the step. Raises CaptureError, and the exceptions after which `attempts` traces again (`_AGAIN`)."""
        reachable = reach(roots_of(self._training))
        random, python, leaves = RandomState(), PythonState(reachable), Leaves(reachable)
        if self._guide is None:  # whoever has a log has seen what the step uses
            python.check_trial()
        before = self._known.present()
        caches = [(one, one.cache_info().misses) for one in reachable.caches]
        try:
            with swapped(self._optimizers, self._fakes, self._names, self._tensors):
                self._inputs.enter_optimizers()
                symbols = self._inputs.enter_numbers(self._known.places, before[: len(self._known.places)], self._names)
                self._inputs.enter_carried(self._known.carried)
                outputs = PythonOutputs(
                    symbols,
                    self._outside.met,
                    self._known.filled,
                    self._is_symbol,
                    self._inputs.leaves,
                    self._inputs.shared_with,
                    self._known.carried,
                    self._looks.at,
                )
                world = World(reachable, outputs.call)
                module = self._made(python, outputs, reachable, world)
                refuse_sparse(module)
                check_alone(module, zip(self._inputs.found, self._inputs.values, strict=True), outputs.carried)
                kept = [one for _, one in reachable.stateful if isinstance(one, torch.Generator)]
                refuse_own_generators(module, [torch.default_generator, *kept])
                self._outside.check_gradients()
                random.check()
            constants = self._outside.held(self._model)
        except _AGAIN:
            raise
        except Exception as error:
            if not isinstance(error, RoamError) and (self.unfixed_whole_numbers() or self.batch_numbers):
                raise ShapeOfValuesError(traceback_user_line(error.__traceback__)) from error
            raise explain(error, eager_runs=self._guide is not None) from error
        finally:
            with held():
                self._outside.drop_gradients()
                leaves.restore()
                python.restore()
                self._known.put_back(before)
                for cache, misses in caches:
                    if cache.cache_info().misses != misses:
                        cache.cache_clear()  # it holds fakes
                random.restore()
                # autograd's graph, which the garbage collector does not see, refers to fakes, and each fake to its
                # mode: a mode that referred to this trace would keep all of them alive
                self._mode.answer = no_answer
                self._provenance.known = None
        self._refuse_open_shapes(module)
        environment, values = self._mode.settings, self._mode.values
        assert values is not None
        guards, conditions = conditions_of(environment.guards, values, module.graph, self._inputs.symbols)
        module.graph.eliminate_dead_code(lambda node: must_stay(node) or any(node in c.nodes for c in conditions))
        self._gradients.check_read(module)
        found = self._inputs.without_cleared(module)
        return Trace(
            module, found, guards, self._inputs.symbols, conditions, tuple(dict.fromkeys(self._gradients.updated)),
            constants, self._guide is not None, tuple(self._known.places), tuple(self._known.filled),
            tuple(outputs.outputs), frozenset(outputs.paths) | {place.path for place in self._known.places},
            self._inputs.batch_constants, frozenset(self._gradients.cleared),
            skipped=frozenset(self._guide.skipped if self._guide else ()),
            loose=frozenset(self._guide.loose if self._guide else ()),
            variables=frozenset(world.variables), scripted=world.scripted,
            gradients_held=tuple(self._gradients.held),
            begun={name: how_it_lies(one) for name, one in self._gradients.begun.items()},
            stays=self._stays, unread=self._unread, carried=tuple(self._known.carried),
        )  # fmt: skip

    def _is_symbol(self, word: str) -> bool:
        values = self._mode.values
        assert values is not None
        return any(word == str(symbol) for symbol in (*self._inputs.symbols, *values.symbols, *values.computed))

    def _known_answer(self) -> bool | int | None:
        answer, self._provenance.answer = self._provenance.answer, None
        return answer

    def _made(self, python: PythonState, outputs: PythonOutputs, reachable: Reachable, world: World) -> GraphModule:
        before = host_state(self._optimizers)
        self._caches_casts = torch.is_autocast_cache_enabled()
        numbers = numbers_of(self._optimizers, self._inputs.fake_names(), self._inputs.parameters)
        residents = {id(tensor): name for name, tensor in self._tensors.items()}

        def traced(*_: Any) -> tuple[Any, ...]:
            with parameters_replaced(self._model, dict(self._inputs.of_model), tie_weights=True):
                with (
                    autocast_cache(self._caches_casts),
                    self._gradients.noted(),
                    follow(self._provenance, self._model, self._optimizers),
                    self._schedulers(reachable, outputs) as schedulers,
                    world.noted(),
                    self._looks,
                    reads_noted(reachable, self._known.filled),
                    symbols_as_numbers(reachable, self._mode.values),
                    held_parameters_replaced(reachable, self._model, self._names, self._tensors, self._fakes.made),
                ):
                    result = self._training.run_as_ops(self._batch)
                world.check()
                schedulers.check(python.changes)
                if self._guide is not None:
                    self._guide.finish()
                self._end.check(result, self._batch)
                self._end.write_back()
                outputs.take_optimizers(numbers, self._present_number)
                self._unread = frozenset(schedulers.unread())
                own = OwnChanges(self._optimizers, self._fakes, self._tensors.values(), python.was, schedulers.dicts)
                outputs.take([change for change in python.changes() if change not in own], python.was)
                outputs.give_back(result)
                made, self._stays = self._gradients.left()
                outputs.leave(made)
                outputs.switch(self._trained, self._tensors, self._switched, reachable.path_of)
            return tuple(outputs.values)

        with (
            self._mode,
            FusedOptimizerMode(self._provenance),
            symbolic_min_max(self._optimizers),
            ops_kept_whole(),
            rng_as_ops(),
            unlogged(),
            answered_as_in_eager() if self._known.as_eager else fakes_are_tensors(),
            tolist_as_ops(),
            data_assignments(self._rebinding, residents),
            self._switched.noted(),
        ):
            module = make_fx(traced, _allow_non_fake_inputs=True)(*self._inputs.values)
        changed = [o for o, a, b in zip(self._optimizers, before, host_state(self._optimizers), strict=True) if a != b]
        if changed:
            raise FirstStepError(
                f"{type(changed[0]).__name__} makes state in its first step, or counts in Python numbers, which a "
                "captured step cannot do; run one eager step first, or use an optimizer with state in tensors"
            )
        return module

    @contextmanager
    def _schedulers(self, reachable: Any, outputs: PythonOutputs) -> Iterator[Noted]:
        def note(function: Callable[..., Any], path: str, args: Any, kwargs: Any) -> None:
            self._scheduled = path
            outputs.call(function, path, args, kwargs)

        with schedulers_noted(reachable, note) as found:
            yield found

    def _before_update(self) -> None:
        if self._scheduled:
            raise CaptureError(
                f"the step calls {self._scheduled}() and steps an optimizer after it, with the new rate; call it "
                "last, or outside the step"
            )

    def _present_number(self, place: OptimizerPlace) -> Any:
        parameter = None if isinstance(place.owner, int) else self._tensors[self._names[id(place.owner)]]
        try:
            return place.holder(parameter)[place.key[-1]]
        except (KeyError, IndexError, TypeError):
            return None

    def _copied(self, target: torch.Tensor, value: torch.Tensor) -> None:
        """Called for `target.data = value`, for which eager runs no op, so that there is none in the log."""
        if self._guide is not None:
            self._guide.rebound(target, value)
        with self._provenance.unguided():
            target.data.copy_(value)

    def _refuse_open_shapes(self, module: GraphModule) -> None:
        """Raise ShapeOfValuesError where a size, stride or offset depends on a number that is not fixed yet."""
        if not self.unfixed_whole_numbers():
            return
        for node in module.graph.nodes:
            value = node.meta.get("val")
            for tensor in value if isinstance(value, list | tuple) else [value]:
                if isinstance(tensor, torch.Tensor) and tensor.layout is torch.strided:
                    sizes = (*tensor.shape, *tensor.stride(), tensor.storage_offset())
                    if any(not isinstance(size, int) for size in sizes):
                        where = node.meta.get(META_KEY)
                        raise ShapeOfValuesError(where.source if where else None)
