"""A state written out as a rewritten graph: copies of ops, fused ops, and results in the memory of operands, in the
order in which they run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from roam_lab.errors import InfeasibleError
from roam_lab.ir.graph import Graph, Op, Storage
from roam_lab.ir.rewritten import Origin, Rewritten
from roam_lab.rewrite.dependences import Dependences
from roam_lab.rewrite.evaluate import evaluate
from roam_lab.rewrite.steps import Step, Steps, steps_of
from roam_lab.rewrite.tape import Problem
from roam_lab.rewrite.trace import Trace, new_trace

FUSED = "roam::fused"
"""Target of an op that runs several ops of the graph before, a few rows at a time."""
RECOMPUTED = "recomputed"
"""`Storage.kind` of what an op makes when it runs again."""


def expand(problem: Problem, state: NDArray[np.int8], trace: Trace | None = None, split: bool = True) -> Rewritten:
    """The rewritten graph of `state`. It takes the time that `evaluate` says, and in running order its live peak is at
    most the one that `evaluate` says.

    `split`: chains that need not run by rows are written as single ops (steps.py).

    Raises InfeasibleError where the state cannot be run.
    """
    trace = new_trace(problem) if trace is None else trace
    if not evaluate(problem, state, trace).possible:
        raise InfeasibleError(f"{problem.graph.name}: a copy would find other values than its op; keep more")
    return _Expansion(problem, steps_of(problem, trace, split)).rewritten()


class _Expansion:
    """The rewritten graph in the making: each step of the run becomes an op, each instance a storage."""

    def __init__(self, problem: Problem, run: Steps) -> None:
        self.graph: Graph = problem.graph
        self.order = problem.order
        self.run = run
        self.storages: list[Storage] = list(self.graph.storages)
        self.place: dict[int, int] = {}  # instance -> storage
        self.named: set[int] = set()
        self.runs = [0] * len(self.graph.ops)
        self.dependences = Dependences(self.graph)

    def rewritten(self) -> Rewritten:
        """The whole rewritten graph."""
        made = [self._op(step) for step in self.run.steps]
        graph = replace(self.graph, storages=tuple(self.storages), ops=tuple(op for op, _ in made))
        return Rewritten(graph, tuple(origin for _, origin in made))

    def _storage_of(self, instance: int) -> int:
        """The storage of an instance: the graph's own storage for the first instance of it, a new one for a copy."""
        if instance not in self.place:
            taken, storage = self.run.place[instance], self.run.storage[instance]
            if taken >= 0:
                storage = self._storage_of(taken)
            elif storage in self.named:
                storage = self._new(replace(self.graph.storages[storage], output=False))
            else:
                self.named.add(storage)
            self.place[instance] = storage
        return self.place[instance]

    def _new(self, storage: Storage) -> int:
        self.storages.append(storage)
        return len(self.storages) - 1

    def _op(self, step: Step) -> tuple[Op, Origin]:
        origins = [self.order[op] for op in step.ops]
        found = {self.run.storage[instance]: self._storage_of(instance) for instance in step.reads}
        made: dict[int, int] = {}
        in_place: list[int] = []
        created: list[int] = []
        for instance in step.makes:
            place = self._storage_of(instance)
            made[self.run.storage[instance]] = place
            (created if self.run.place[instance] < 0 else in_place).append(place)
        reads: list[int | None] = []
        results: list[int | None] = []
        writes: list[int | None] = []
        changed: set[int] = set()
        for index in origins:
            op = self.graph.ops[index]
            for storage in op.reads:
                there = found.get(storage, storage if self.graph.storages[storage].always_there else None)
                reads.append(None if storage in changed else there)
            for storage in op.creates:
                always = self.graph.storages[storage].always_there
                results.append(storage if always else made.get(storage))
                created += [storage] if always else []
                if self.runs[index] and (new := results[-1]) is not None and new in created:
                    self.storages[new] = replace(self.storages[new], kind=RECOMPUTED)
            for storage in op.writes:
                always = self.graph.storages[storage].always_there
                writes.append(storage if always else found.get(storage, made.get(storage)))
                changed.add(storage)
        if step.scratch_bytes:
            created.append(self._new(Storage(step.scratch_bytes, kind="scratch")))
        origin = Origin(tuple(origins), tuple(reads), tuple(results), tuple(writes))
        changes = dict.fromkeys([*(place for place in writes if place is not None), *in_place])
        op = replace(
            self._named(origins),
            after=self.dependences.of(origins, reads, [*changes], created),
            creates=tuple(created),
            reads=tuple(dict.fromkeys(place for place in reads if place is not None)),
            writes=tuple(place for place in changes if place not in created),
            time_us=step.us,
            reuse=(),
        )
        return replace(op, pure=bool(op.pure and not op.writes)), origin

    def _named(self, origins: Sequence[int]) -> Op:
        """An op that does all of `origins`, with name, target, phase and the like, and without storages."""
        parts = [self.graph.ops[index] for index in origins]
        copies = max(self.runs[index] for index in origins)
        for index in origins:
            self.runs[index] += 1
        last = parts[-1]
        suffix = f"_copy{copies}" if copies else ""
        if len(parts) == 1:
            return replace(last, name=last.name + suffix, call=None if copies else last.call)
        flops = [op.flops for op in parts if op.flops is not None]
        return replace(
            last,
            name=f"fused_{parts[0].name}_to_{last.name}{suffix}",
            target=FUSED,
            flops=sum(flops) if flops else None,
            pure=all(op.pure for op in parts),
            pointwise=None,
            call=None,
        )
