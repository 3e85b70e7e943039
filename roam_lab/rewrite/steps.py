"""The ops of the rewritten graph that a run on paper stands for; chains that need not run by rows become single ops."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.tape import Problem
from roam_lab.rewrite.trace import Trace


@dataclass(frozen=True, slots=True)
class Step:
    """One op of the rewritten graph. `ops`: the ops of the tape that run in it; `reads`, `makes`: instances (see
    Trace); `scratch_bytes`: memory for values that pass inside it; `us`: its time."""

    ops: tuple[int, ...]
    reads: tuple[int, ...]
    makes: tuple[int, ...]
    scratch_bytes: int
    us: float


@dataclass(slots=True)
class Steps:
    """A run, step by step. For each instance: `storage`, its storage in the graph before, and `place`, the instance
    whose memory it takes, or -1."""

    steps: list[Step]
    storage: list[int]
    place: list[int]


def steps_of(problem: Problem, trace: Trace, split: bool = True) -> Steps:
    """The steps of the run in `trace`, which `evaluate` has filled.

    `split`: a chain becomes single ops wherever that does not raise the peak, as whole ops need no loop over rows. A
    chain stays where a fused op takes less time than its parts.
    """
    items, instances = int(trace.found[0]), int(trace.found[1])
    run = Steps([], trace.instance_storage[:instances].tolist(), trace.place_of[:instances].tolist())
    peak = int(trace.curve[:items].max()) if items else 0
    for item in range(items):
        ops = _part(trace.ops_at, trace.ops, item)
        parts = _split(problem, trace, item, run, peak) if split and len(ops) > 1 and problem.share >= 1 else None
        run.steps += parts or [
            Step(
                ops,
                _part(trace.reads_at, trace.reads, item),
                _part(trace.makes_at, trace.makes, item),
                int(trace.scratch[item]),
                float(trace.item_us[item]),
            )
        ]
    return run


def _split(problem: Problem, trace: Trace, item: int, run: Steps, peak: int) -> list[Step] | None:
    """The ops of the chain `item` as single steps; None where they would hold more than `peak` bytes."""
    tape = problem.tape
    reads, made = _part(trace.reads_at, trace.reads, item), _part(trace.makes_at, trace.makes, item)
    size = tape.size
    new = [instance for instance in made if run.place[instance] < 0]
    through = int(trace.curve[item] - trace.scratch[item]) - sum(
        int(size[run.storage[instance]]) for instance in (*reads, *new)
    )
    part = _Parts(len(run.storage))
    outer = {run.storage[instance]: instance for instance in reads}
    own = {run.storage[instance]: instance for instance in made}
    value: dict[int, int] = {}  # storage -> the instance that the chain's ops find
    ends = {instance for instance in reads if trace.last[instance] == item and not tape.output[run.storage[instance]]}
    for op in _part(trace.ops_at, trace.ops, item):
        read = tape.reads[tape.reads_at[op] : tape.reads_at[op + 1]].tolist()
        used = [outer[storage] if storage in outer else value[storage] for storage in read]
        makes = []
        for storage in tape.makes[tape.makes_at[op] : tape.makes_at[op + 1]].tolist():
            instance = own.get(storage)
            if instance is None:
                instance = part.fresh(storage)
                ends.add(instance)
            elif trace.last[instance] == item and not tape.output[storage]:
                ends.add(instance)
            value[storage] = instance
            makes.append(instance)
        part.add(op, used, makes)
    storage_of = [*run.storage, *part.storages]
    places = part.places(problem, storage_of, ends)
    if through + part.most(size, storage_of, places, ends, reads) > peak:
        return None
    run.storage += part.storages
    run.place += [-1] * len(part.storages)
    for instance in (*made, *range(len(run.storage) - len(part.storages), len(run.storage))):
        run.place[instance] = places.get(instance, -1)
    return [
        Step((op,), tuple(dict.fromkeys(used)), tuple(makes), 0, float(tape.op_us[op]))
        for op, used, makes in part.entries
    ]


@dataclass(slots=True)
class _Parts:
    """Ops of a chain with the instances that they read and make; new ones are numbered from `first`."""

    first: int
    storages: list[int] = field(default_factory=list)
    entries: list[tuple[int, list[int], list[int]]] = field(default_factory=list)
    last: dict[int, int] = field(default_factory=dict)

    def fresh(self, storage: int) -> int:
        self.storages.append(storage)
        return self.first + len(self.storages) - 1

    def add(self, op: int, reads: list[int], makes: list[int]) -> None:
        for instance in (*reads, *makes):
            self.last[instance] = len(self.entries)
        self.entries.append((op, reads, makes))

    def places(self, problem: Problem, storage_of: Sequence[int], ends: set[int]) -> dict[int, int]:
        """Instance -> the instance whose memory it takes: results of ops that are the last to read an operand, where
        `Op.reuse` lists the pair."""
        tape, places, taken = problem.tape, dict[int, int](), set[int]()
        if not tape.in_place[0]:
            return places
        for number, (op, reads, makes) in enumerate(self.entries):
            pairs = {
                (int(tape.reuse_new[m]), int(tape.reuse_old[m]))
                for m in range(tape.reuse_at[op], tape.reuse_at[op + 1])
            }
            for made in makes:
                new = storage_of[made]
                for old in reads:
                    fits = (new, storage_of[old]) in pairs and tape.size[new] == tape.size[storage_of[old]]
                    dies = old in ends and self.last[old] == number and old not in taken
                    if fits and dies and not tape.output[new]:
                        places[made] = old
                        taken.add(old)
                        break
        return places

    def most(
        self,
        size: NDArray[np.int64],
        storage_of: Sequence[int],
        places: dict[int, int],
        ends: set[int],
        reads: Sequence[int],
    ) -> int:
        """The most bytes that the chain's instances take at once while its ops run one by one."""
        live = sum(int(size[storage_of[instance]]) for instance in reads)
        most, taken = live, set(places.values())
        for number, (_, used, makes) in enumerate(self.entries):
            live += sum(int(size[storage_of[made]]) for made in makes if made not in places)
            most = max(most, live)
            for instance in dict.fromkeys((*used, *makes)):
                if instance in ends and self.last[instance] == number and instance not in taken:
                    live -= int(size[storage_of[instance]])
        return most


def _part(at: NDArray[np.int32], values: NDArray[np.int32], index: int) -> tuple[int, ...]:
    return tuple(values[at[index] : at[index + 1]].tolist())
