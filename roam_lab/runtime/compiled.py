"""One captured and planned step bound to the user's tensors, and the few that a hook keeps."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch

from roam_lab.capture import Captured, TrainingStep
from roam_lab.capture.inputs import Input, batch_leaves, fixed_settings, read_setting
from roam_lab.capture.sources.guards import Guards
from roam_lab.capture.sources.places import OptimizerPlace
from roam_lab.capture.torch_internals import below_autograd
from roam_lab.errors import MismatchError, RoamError
from roam_lab.ir import fingerprint
from roam_lab.plan import Plan
from roam_lab.runtime.arena import Form, arena_bytes
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.binding import Residents, addresses, bind, check_forms, forms_of
from roam_lab.runtime.decisions import write_decisions
from roam_lab.runtime.heap import Heap
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import OtherWayError, Program
from roam_lab.runtime.program_writer import write_program
from roam_lab.runtime.step_guards import guarded_path
from roam_lab.runtime.undo import Undo

MOST_COMPILED = 16
"""Compiled steps that a hook keeps; the one that was not used for longest goes first."""


@dataclass(frozen=True)
class Change:
    """Why a compiled step cannot run as it is. `path`: what changed; `sentence`: that, and how.

    `kind`: "resident" (a tensor is gone, or was replaced by one of another form), "setting" (an optimizer's setting
    takes another branch), "way" (a Python number that the step changes itself leads another way), "batch" (a string
    or number of the batch is another), "guard" (anything else that capture relied on).
    """

    kind: Literal["resident", "setting", "way", "batch", "guard"]
    path: str
    sentence: str


class OtherWay(Exception):  # noqa: N818  # no error: the step is run in another way
    """The step takes another way than the captured one; says where."""


class Compiled:
    """A step that was captured and planned. Views of the arena are made when it runs, and dropped by `unbind`.

    `graph_sha256`: of the captured graph. `cleared`: the parameters whose gradient left from before the step clears
    itself.
    """

    def __init__(
        self, captured: Captured, plan: Plan, step: TrainingStep, tree: ModelTree, pool: ArenaPool, guards: Guards
    ) -> None:
        self._optimizers = step.optimizers
        self._pool = pool
        self.guards = guards
        self.order = plan.order
        self.program: Program = write_program(captured, plan.order)
        self.graph_sha256 = fingerprint(captured.graph)
        own = arena_bytes(plan, captured.graph)
        self._beside = plan.arena_bytes - own
        self._offsets = {
            index: plan.offsets[index]
            for index, storage in enumerate(captured.graph.storages)
            if not storage.external and index in plan.offsets
        }
        self._held = captured.trace.held
        self._conditions = captured.trace.guards
        used = {symbol for condition in self._conditions for symbol in condition.free_symbols}
        self._symbols = {symbol: found for symbol, found in captured.trace.symbols.items() if symbol in used}
        self._batch_constants = dict(captured.trace.batch_constants)
        self.cleared = captured.trace.cleared
        self.residents = Residents(tree, self._optimizers, self.program.residents)
        self._batch = [found.path[0] for found in self.program.arguments if found.kind == "batch"]
        self._settings = [found for found in self.program.arguments if found.kind in ("setting", "python")]
        self._places, self._outputs = captured.trace.places, captured.trace.outputs
        self._counted = {
            (place.number, place.owner, place.key[0])
            for place in self._places
            if isinstance(place, OptimizerPlace) and isinstance(place.owner, int)
        }
        self._fixed = fixed_settings(self._optimizers, self._counted)
        self._decisions = write_decisions(captured)
        wanted = () if self._decisions is None else self._decisions.inputs
        self._decided = Residents(tree, self._optimizers, tuple(one for one in wanted if isinstance(one, Input)))
        self._undo = Undo(self.program)
        self._accepted: tuple[Any, ...] | None = None
        self._bound: list[int] | None = None
        self._function: Callable[..., tuple[Any, ...]] | None = None
        self._unproven: dict[str, tuple[torch.Tensor, int]] = {}
        self._equal = 0
        self._varied = False
        self._ran_with: tuple[Any, ...] = ()
        self._proven_with: tuple[Any, ...] | None = None
        self._to_prove = 2 if self._outputs else 1
        self._forms = forms_of(self.program)
        pool.join(self, own, torch.device(captured.device))

    @property
    def proven(self) -> bool:
        """Whether enough of its steps were held against the eager one: one, and one more as soon as a number that is an
        input (a learning rate) is another; two where the step changes Python objects, which may lead it another way."""
        varied = self._proven_with is None or self._varied or self._numbers() == self._proven_with
        return self._equal >= self._to_prove and varied

    def note_equal(self) -> None:
        """One of its steps was equal to the eager one."""
        self._equal += 1
        self._varied = self._varied or (self._proven_with is not None and self._ran_with != self._proven_with)
        self._proven_with = self._proven_with or self._ran_with

    def _numbers(self) -> tuple[Any, ...]:
        """The present settings and Python numbers that are inputs."""
        try:
            return tuple(map(self._number, self._settings))
        except KeyError:
            return ()

    @property
    def arena(self) -> torch.Tensor:
        """The hook's arena as bytes, the same for all its compiled steps; of size 0 while there is none."""
        return self._pool.arena

    def change(self, leaves: Sequence[Any]) -> Change | None:
        """What keeps the step from running as it was captured on a batch of these leaves; None when nothing does."""
        for module, name, tensor in self._held:
            if vars(module).get(name) is not tensor:
                return Change("resident", name, f"{type(module).__name__}.{name} is another tensor than captured")
        try:
            check_forms(self._forms, self.residents.find())
        except KeyError as error:
            return Change("resident", str(error.args[0]), f"{error.args[0]} is gone")
        except MismatchError as error:
            return Change("resident", str(error), str(error).partition(";")[0])
        for found in self._settings:
            try:
                value = self._number(found)
            except (KeyError, IndexError):
                return Change("resident", str(found), f"{_setting_name(found)} is gone")
            if isinstance(value, torch.Tensor):
                return Change("setting", str(found), f"{_setting_name(found)} is a tensor now, and was a number")
        for index, value in self._batch_constants.items():
            if leaves[index] != value:
                return Change("batch", str(index), f"leaf {index} of the batch is {leaves[index]!r}, was {value!r}")
        setting, counted = self._setting_changed(leaves)
        if setting is not None and counted:
            return Change("way", setting, f"the step takes another way than any that was captured, by {setting}")
        if setting is not None:
            return Change(
                "setting",
                setting,
                f"a setting of the optimizer now takes another branch of its update than in the plan ({setting})",
            )
        told = self.guards.check()
        return None if told is None else Change("guard", guarded_path(told), told)

    def forget(self, change: Change) -> None:
        """What has changed does not matter to the step."""
        if change.kind == "batch":
            self._batch_constants.pop(int(change.path), None)
        else:
            self.guards.forget(change.path)

    def _setting_changed(self, leaves: Sequence[Any]) -> tuple[str | None, bool]:
        """The setting that takes another branch of the update (weight decay or not, ...) than it did when captured, and
        whether it is a number that the step changes itself."""
        fixed = fixed_settings(self._optimizers, self._counted)
        if fixed != self._fixed:
            return _fixed_difference(self._fixed, fixed), False
        now = {symbol: self._number(found, leaves) for symbol, found in self._symbols.items()}
        values = tuple(now.values())
        if values == self._accepted:
            return None, False
        for condition in self._conditions:
            if not bool(condition.subs(now)):
                found = [self._symbols[one] for one in condition.free_symbols if one in self._symbols]
                counted = any(one.kind in ("python", "batch") for one in found)
                return ", ".join(sorted(map(_setting_name, found))) or str(condition), counted
        self._accepted = values
        return None, False

    def _number(self, found: Input, leaves: Sequence[Any] = ()) -> Any:
        """The present value of a setting, of a Python number, or of a number in the batch."""
        if found.kind == "batch":
            return leaves[found.path[0]]
        if found.kind == "python":
            return self._places[found.path[0]].read()
        return read_setting(self._optimizers, found.path)

    def goes_otherwise(self, batch: Any) -> str | None:
        """Why this batch takes another way through the step, as far as that can be told before it."""
        if self._decisions is None:
            return None
        return self._decisions.broken(self._values(batch))

    def _values(self, batch: Any) -> dict[Input, Any]:
        """The present value of every input that the conditions before the step look at."""
        assert self._decisions is not None
        leaves = batch_leaves(batch)
        found: dict[Input, Any] = {}
        tensors = self._decided.find()
        for one in self._decided.inputs:
            if one.kind == "batch":
                found[one] = leaves[one.path[0]]
            else:
                found[one] = tensors[one] if one in tensors else self._number(one)
        return found

    def run(self, batch: Any) -> torch.Tensor:
        """One step on the resident tensors. Returns the loss, a tensor of its own.

        Raises RoamError naming the op; OtherWay, with everything put back, where the step takes another way.
        """
        tensors = self.residents.find()
        function = self._function
        if function is None or addresses(tensors.values()) != self._bound:
            function = self._bind(tensors)
        leaves = batch_leaves(batch)
        arguments = [leaves[index] for index in self._batch]
        self._ran_with = tuple(map(self._number, self._settings))
        arguments += self._ran_with
        self._heap.start()
        self._undo.note(tensors, leaves)
        try:
            with below_autograd():
                results = function(*arguments)
        except OtherWayError as error:
            self._undo.put_back()
            raise OtherWay(self.program.told[error.args[0]]) from None
        except Exception as error:
            raise self._named(error) from error
        finally:
            self._undo.forget()
        if self._unproven:
            self._check_places()
        self._apply(results[1:])
        loss: torch.Tensor = results[0]
        return loss

    def _apply(self, leaves: Sequence[Any]) -> None:
        """Do to Python objects what the step does to them."""
        taken = 0
        for output in self._outputs:
            output.apply(list(leaves[taken : taken + output.leaves]))
            taken += output.leaves

    def _bind(self, tensors: Mapping[Input, torch.Tensor]) -> Callable[..., tuple[Any, ...]]:
        """Make every view anew: at first, and when the arena was given back or the user replaced a tensor."""
        arena = self._pool.take(self)
        self._heap = Heap(arena.numel(), arena.numel() + self._beside, self._pool.base_bytes)
        places = bind(self.program, self._offsets, tensors, arena)
        self._function = self.program.compile(places, self._heap.before)
        self._bound = addresses(tensors.values())
        self._unproven = {name: (tensor, tensor.data_ptr()) for name, tensor in places.items()}
        return self._function

    def unbind(self) -> None:
        """Drop every view of the arena; the next run makes them anew."""
        if self._function is not None:
            self._function.__globals__.clear()  # also where the traceback of a failed step still holds the function
        self._function, self._bound, self._unproven = None, None, {}

    def _check_places(self) -> None:
        """After the first run: an op that gave its output other memory or another form has broken the plan."""
        for name, (tensor, address) in self._unproven.items():
            like = self.program.places[name].like
            if tensor.data_ptr() != address:
                raise RoamError(
                    f"an op gave its output of shape {like.shape} memory of its own, not its planned place; "
                    "report it with the model, and train eagerly"
                )
            now = Form.of(tensor)
            if (now.shape, now.dtype) != (like.shape, like.dtype) or _steps(now) != _steps(like):
                raise RoamError(
                    f"an op made its output of shape {like.shape}, {like.dtype}, strides {like.strides} one of shape "
                    f"{now.shape}, {now.dtype}, strides {now.strides}; report it with the model, and train eagerly"
                )
        self._unproven = {}

    def _named(self, error: Exception) -> RoamError:
        """The error with the op and the user's line that it comes from."""
        traceback, line = error.__traceback__, None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.program.filename:
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        index = self.program.op_of_line.get(line or 0)
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        if index is None:
            return RoamError(f"the planned step failed ({first}); run the eager step to compare")
        return RoamError(
            f"{self.program.ops[index]} failed while the plan ran ({first}); "
            "parameters may be half updated: load a checkpoint, and run the eager step to compare"
        )


def _setting_name(setting: Input) -> str:
    if setting.kind == "batch":
        return f"leaf {setting.path[0]} of the batch"
    return str(setting.path[1]) if setting.kind == "python" else f"{setting.path[2]} of group {setting.path[1]}"


def _steps(form: Form) -> list[int]:
    """The strides of dimensions with more than one entry: the others say nothing."""
    return [stride for size, stride in zip(form.shape, form.strides, strict=True) if size != 1]


def _fixed_difference(before: tuple[Any, ...], now: tuple[Any, ...]) -> str:
    """The first of `fixed_settings` that differs, by name."""
    if len(before) != len(now):
        return "the number of parameter groups"
    for index, ((count, settings), (count_now, settings_now)) in enumerate(zip(before, now, strict=True)):
        if count != count_now:
            return f"the number of parameters in group {index}"
        for key in sorted(settings.keys() | settings_now.keys()):
            if settings.get(key) != settings_now.get(key) or (key in settings) != (key in settings_now):
                return f"{key} of group {index}"
    return "its groups"


class CompiledSteps(OrderedDict[tuple[Any, ...], Compiled]):
    """The compiled steps of a hook by batch, mode, autocast and a number that tells the ways of one of them apart.

    At most `most`; the longest unused goes first.
    """

    def __init__(self, pool: ArenaPool, most: int = MOST_COMPILED) -> None:
        super().__init__()
        self.pool, self._most = pool, most

    def ways(self, key: tuple[Any, ...]) -> list[tuple[Any, ...]]:
        """The full keys of the steps for a batch, mode and autocast, the one last used first."""
        return [one for one in reversed(self) if one[:-1] == key]

    def used(self, key: tuple[Any, ...]) -> None:
        """This one is now the last to go."""
        if key in self:
            self.move_to_end(key)

    def add(self, key: tuple[Any, ...], compiled: Compiled) -> None:
        """Keep one more, and drop the longest unused if there are too many."""
        self.drop(key)
        self[key] = compiled
        while len(self) > self._most:
            self.drop(next(iter(self)))

    def drop(self, *keys: tuple[Any, ...]) -> None:
        """Give up the steps of these keys, and whatever they hold."""
        for key in keys:
            compiled = self.pop(key, None)
            if compiled is not None:
                self.pool.leave(compiled)
