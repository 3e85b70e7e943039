"""A compiled step: one captured and planned step, bound to the user's tensors and to the arena."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch

from roam_lab.capture import Captured, TrainingStep
from roam_lab.capture.inputs import Input, batch_leaves
from roam_lab.capture.snapshot import RandomState
from roam_lab.capture.sources.guards import Guards
from roam_lab.capture.torch_internals import below_autograd
from roam_lab.distributed.collectives import exchanges_of
from roam_lab.errors import RoamError
from roam_lab.ir import fingerprint
from roam_lab.ir.host_copies import host_copies
from roam_lab.plan import Plan
from roam_lab.plan.beside import lent, top_of
from roam_lab.runtime.arena import Form
from roam_lab.runtime.arena_pool import ArenaPool
from roam_lab.runtime.arguments import Arguments
from roam_lab.runtime.binding import Residents, addresses, bind, outside_of, sharing
from roam_lab.runtime.changes import Reliance
from roam_lab.runtime.decisions import write_decisions
from roam_lab.runtime.doing import running_nodes
from roam_lab.runtime.executors import CudaGraphExecutor, PythonExecutor
from roam_lab.runtime.heap import SLACK, SLACK_WITHOUT_BUDGET, Heap
from roam_lab.runtime.holes import give_up
from roam_lab.runtime.host_copies import END_COPY, START_COPY, host_layout
from roam_lab.runtime.model_tree import ModelTree
from roam_lab.runtime.program import BEFORE, GIVE_UP, LEND, SETTLE, TAKE_BACK, OtherWayError, Program
from roam_lab.runtime.program_writer import write_program
from roam_lab.runtime.proof import Proof, place_of_proof
from roam_lab.runtime.undo import Undo

_SCRIPTED_STEPS = 4
"""How many steps are compared with eager ones where TorchScript is called, which is compiled again after two runs."""


class OtherWay(Exception):  # noqa: N818  # no error: the step is run in another way
    """The step takes another way than the captured one; the argument says where."""


class FailedBefore(Exception):  # noqa: N818  # the eager step tells what it means
    """An op failed before the step changed anything that stays; the argument says which. Everything is as before."""


class Compiled:
    """A step that was captured and planned. Views of the arena are made when it runs, and dropped by `unbind`.

    `executor`: runs its program (None: op by op). `graph_sha256`: the captured graph's fingerprint. `cleared`:
    parameters whose old gradient the step clears; `begun`: how the gradients lie that it begins with. `exchanges`: its
    exchanges with other ranks, in sequence.
    """

    def __init__(
        self, captured: Captured, plan: Plan, step: TrainingStep, tree: ModelTree, pool: ArenaPool, guards: Guards,
        executor: PythonExecutor | CudaGraphExecutor | None = None,
    ) -> None:  # fmt: skip
        self._optimizers = step.optimizers
        self._pool = pool
        self.guards = guards
        self.executor = executor or PythonExecutor()
        self.order = plan.order
        self.offsets = plan.offsets
        self.rewritten = plan.rewritten
        graph = captured.graph if self.rewritten is None else self.rewritten.graph
        lends, own = dict[int, int](), top_of(graph, plan.offsets)
        if captured.device == "cuda" and self.executor.may_lend:
            lends, own = lent(graph, plan.order, plan.offsets)
        self._written_with = plan.arena_bytes, lends
        self.program: Program = self._written(captured)
        self.graph_sha256 = fingerprint(captured.graph)
        self.exchanges = exchanges_of(running_nodes(captured, plan.order, self.rewritten))
        self._beside = plan.arena_bytes - own
        self._slack = SLACK if plan.extra_time else SLACK_WITHOUT_BUDGET
        self._offsets = {
            index: plan.offsets[index]
            for index, storage in enumerate(graph.storages)
            if not storage.external and index in plan.offsets
        }
        self._host_offsets: Mapping[int, int] = {}
        on_host = 0
        if self.rewritten is not None:
            on_host_layout = host_layout(graph, host_copies(self.rewritten, plan.order))
            self._host_offsets, on_host = on_host_layout.offsets, on_host_layout.arena_bytes
        self._where = captured.where
        self._updates = bool(captured.trace.updated)
        self.cleared = captured.trace.cleared
        self.begun, self.stays = captured.trace.begun, captured.trace.stays
        self._tree = tree
        self.residents = Residents(tree, self._optimizers, self.program.residents)
        self._outside = tuple(outside_of(self.program))
        self._arguments = Arguments(captured, self.program, tree)
        self.reliance = Reliance(captured, self._optimizers, self.residents, self.program, guards)
        self._outputs = captured.trace.outputs
        self._decisions = write_decisions(captured)
        wanted = () if self._decisions is None else self._decisions.inputs
        self._decided = Residents(tree, self._optimizers, tuple(one for one in wanted if isinstance(one, Input)))
        self._undo = Undo(self.program)
        self._bound: list[int] | None = None
        self._shared = list[int]()
        self._function: Callable[..., tuple[Any, ...]] | None = None
        self._unproven: dict[str, tuple[torch.Tensor, int]] = {}
        self._ran_with: tuple[Any, ...] = ()
        changes = any(output.how not in ("return", "leave") for output in self._outputs)
        self.proof = Proof(_SCRIPTED_STEPS if captured.trace.scripted else 2 if changes else 1)
        pool.join(self, own, captured.where, bool(lends), on_host)

    def would_be(self, captured: Captured) -> bool:
        """Whether another captured step, planned like this one, would give the same program."""
        return self._written(captured).same(self.program)

    def _written(self, captured: Captured) -> Program:
        return write_program(captured, self.order, self.offsets, *self._written_with, self.rewritten)

    @property
    def proven(self) -> bool:
        """Whether enough of its steps were compared with eager ones: one, and one more when a number that is an input
        (a learning rate) has changed; two where the step changes Python objects, on which it may branch."""
        return self.proof.holds(self.reliance.numbers()) and not self.executor.unchecked

    def note_equal(self) -> None:
        """Note that one of its steps was equal to the eager one."""
        self.proof.note_equal(self._ran_with)
        self.executor.note_equal()

    def place_of_proof(self) -> str:
        """A digest of all that `proof` holds for."""
        run = self.graph_sha256 if self.rewritten is None else fingerprint(self.rewritten.graph)
        return place_of_proof(self.graph_sha256, run, self.order, self.offsets, self._where)

    @property
    def arena(self) -> torch.Tensor:
        """The hook's arena as a byte tensor, shared by all its compiled steps; of size 0 while there is none."""
        return self._pool.arena

    def goes_otherwise(self, batch: Any) -> str | None:
        """Why this batch takes another way through the step, as far as that is known before the step; else None."""
        if self._decisions is None:
            return None
        return self._decisions.broken(self._values(batch))

    def _values(self, batch: Any) -> dict[Input, Any]:
        """The present value of every input that is needed for the conditions before the step."""
        assert self._decisions is not None
        leaves = batch_leaves(batch)
        found: dict[Input, Any] = {}
        tensors = self._decided.find()
        for one in self._decided.inputs:
            if one.kind in ("batch", "carried"):
                found[one] = self._arguments.value(one, leaves)
            else:
                found[one] = tensors[one] if one in tensors else self.reliance.number(one)
        return found

    def run(self, batch: Any) -> Any:
        """Run one step on the resident tensors. Returns what the user's step returns, in tensors of their own.

        Raises RoamError naming the op; FailedBefore where nothing was changed yet; OtherWay, with everything put back,
        where the step takes another way.
        """
        tensors = self.residents.find()
        self._pool.begin()
        function = self._function
        if function is None or addresses((*tensors.values(), *self._outside)) != self._bound:
            function = self._bind(tensors)
        leaves = batch_leaves(batch)
        arguments = self._arguments.find(leaves)
        if not self._arguments.share_as_before(arguments):
            raise OtherWay("tensors of the batch share their memory, which they did not, or no more")
        self._ran_with = tuple(map(self.reliance.number, self.reliance.settings))
        self._heap.start()
        self._undo.note(tensors, dict(zip(self._arguments.inputs, arguments, strict=True)))
        random = RandomState() if self.program.draws_before else None
        try:
            with below_autograd():
                results = self.executor.run(function, arguments, self._ran_with)
        except OtherWayError as error:
            self._undo.put_back()
            raise OtherWay(self.program.otherwise[error.args[0]]) from None
        except Exception as error:
            line = self._line(error)
            if line is None or (self.program.first_write and line >= self.program.first_write):
                raise self._named(error) from error
            if random is not None:
                random.restore()
            raise FailedBefore(str(self._named(error)).partition(";")[0]) from error
        finally:
            self._pool.settle()
            self._undo.forget()
        if self._unproven:
            self._check_places()
        return self._apply(results, leaves)

    def _apply(self, values: Sequence[Any], batch: Sequence[Any]) -> Any:
        """Do to Python objects what the step does to them. Returns what the step returns."""
        for optimizer in self._optimizers if self._updates else ():
            if hasattr(optimizer.step, "_wrapped_by_lr_sched"):  # what schedulers look for
                optimizer._opt_called = True  # type: ignore[attr-defined]
        taken, made, left = 0, list[Any](), dict[str, torch.Tensor]()
        for output in self._outputs:
            made.append(output.apply(list(values[taken : taken + output.leaves]), batch))
            taken += output.leaves
            if output.how == "leave":
                left = made[-1]
            elif output.how == "switch":
                self._tree.switch(made[-1])
        stays = {id(self._tree.tensor(name)) for name in self.stays}
        for parameter in self._tree.parameters():
            if parameter.grad is not None and id(parameter) not in stays:
                parameter.grad = None  # also of an eager step before
        self._tree.leave(left)
        return made[0]

    def _bind(self, tensors: Mapping[Input, torch.Tensor]) -> Callable[..., tuple[Any, ...]]:
        """Make all views again: the first time, and when the arena was freed or the user has replaced a tensor.

        Raises OtherWay where tensors share memory in another way than they did: ops read what others write.
        """
        shared = sharing((*tensors.values(), *self._outside))
        if shared != (self._shared or shared):
            raise OtherWay("some of the tensors that the step uses share their memory, which they did not, or no more")
        self._shared = shared
        self._arguments.beside((*tensors.values(), *self._outside))
        self.executor.moved()
        arena = self._pool.take(self)
        host = self._pool.host
        own = arena.numel() + host.bytes.numel()
        self._heap = Heap(own, own + self._beside, self._pool.base_bytes, self._slack)
        places = bind(self.program, self._offsets, tensors, arena, self._host_offsets, host.bytes)
        calls: dict[str, Callable[..., Any]] = {BEFORE: self._heap.before, GIVE_UP: partial(give_up, arena.data_ptr())}
        calls |= {START_COPY: host.copies.start, END_COPY: host.copies.end}
        lending = self._pool.lending
        if lending is not None:
            calls |= {LEND: lending.lend, SETTLE: lending.settle, TAKE_BACK: lending.take_back}
        self._function = self.program.compile(places, calls)
        self._bound = addresses((*tensors.values(), *self._outside))
        self._unproven = {name: (tensor, tensor.data_ptr()) for name, tensor in places.items()}
        return self._function

    def unbind(self) -> None:
        """Drop every view of the arena; the next run makes them anew."""
        if self._function is not None:
            self._function.__globals__.clear()  # also where the traceback of a failed step still holds the function
        self._function, self._bound, self._unproven = None, None, {}
        self.residents.forget()
        self.executor.moved()

    def _check_places(self) -> None:
        """Called after the first run: raise RoamError where an op gave its output other memory or another form."""
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

    def _line(self, error: Exception) -> int | None:
        """The line of the program that raised."""
        traceback, line = error.__traceback__, None
        while traceback is not None:
            if traceback.tb_frame.f_code.co_filename == self.program.filename:
                line = traceback.tb_lineno
            traceback = traceback.tb_next
        return line

    def _named(self, error: Exception) -> RoamError:
        """The error with the op and the user's line that it comes from."""
        index = self.program.op_of_line.get(self._line(error) or 0)
        first = (str(error) or type(error).__name__).splitlines()[0][:200]
        if index is None:
            return RoamError(f"the planned step failed ({first}); run the eager step to compare")
        return RoamError(
            f"{self.program.ops[index]} failed while the plan ran ({first}); "
            "parameters may be half updated: load a checkpoint, and run the eager step to compare"
        )


def _steps(form: Form) -> list[int]:
    """The strides of the dimensions that have more than one entry; the others have no effect."""
    return [stride for size, stride in zip(form.shape, form.strides, strict=True) if size != 1]
