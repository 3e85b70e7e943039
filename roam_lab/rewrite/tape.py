"""A graph as flat arrays, in the order that rewriting starts from: what the compiled evaluator works on."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir.graph import Graph
from roam_lab.ir.memory import Order
from roam_lab.rewrite.base_order import base_order
from roam_lab.rewrite.chains import chain_classes, elements, instructions
from roam_lab.rewrite.kinds import FREE, ON_DEVICE, check_graph, checked_kinds

KEEP, DROP, HOLD = 0, 1, 2
"""What happens to a storage in the gap between two instructions that touch it: it stays; it is dropped, and so is any
copy made in the gap, once used; it is dropped, but a copy made in the gap stays to its end."""

NEVER = 2**31 - 1
SCRATCH_BYTES = 16 * 2**20
"""The most that a fused op may take for what passes inside it."""

Ints = NDArray[np.int32]


class Tape(NamedTuple):
    """Flat arrays. Ops are numbered by their place in the base order; storages as in the graph, those in planned memory
    alone are listed. `x_at[i] : x_at[i + 1]` is the part of the list `x` that belongs to i.

    `group`: instruction -> ops; `touch`: instruction -> (storage, its gap behind the instruction); `reads`: op ->
    storages it uses without creating them; `makes`: op -> storages it creates; `reuse`: op -> (created, read) pairs;
    `gap`: storage -> gaps, one behind each instruction that touches it (`gap_instruction`).
    """

    group_at: Ints
    group: Ints
    touch_at: Ints
    touch: Ints
    touch_gap: Ints
    reads_at: Ints
    reads: Ints
    makes_at: Ints
    makes: Ints
    reuse_at: Ints
    reuse_new: Ints
    reuse_old: Ints
    gap_at: Ints
    gap_instruction: Ints
    op_us: NDArray[np.float64]
    op_class: Ints  # -1: cannot be fused
    op_again: NDArray[np.int8]  # whether copies of it find what it found
    op_until: Ints  # ... in instructions before this one
    creator: Ints  # of a storage; -1: none
    size: NDArray[np.int64]
    elements: NDArray[np.int64]
    inside: NDArray[np.int8]  # whether it may pass inside a fused op
    output: NDArray[np.int8]
    in_place: NDArray[np.int8]  # [whether results may take the place of what is read]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A graph made ready for rewriting: `order[k]` is the graph's op number k of the tape.

    `start`: the state that recomputes nothing; `free_gaps`: the gaps whose state may be another. `kinds`: what is
    allowed; `share`: the least part of the sum of its parts that a fused op takes.
    """

    graph: Graph
    kinds: frozenset[str]
    order: Order
    tape: Tape
    start: NDArray[np.int8]
    free_gaps: Ints
    share: float
    base_us: float

    @property
    def gap_storage(self) -> Ints:
        """For each gap, its storage."""
        counts = np.diff(self.tape.gap_at)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def problem_of(graph: Graph, kinds: Iterable[str] = ON_DEVICE, order: Sequence[int] | None = None) -> Problem:
    """The problem of rewriting `graph` from `order` (None: the base order). Raises FormatError for a roam-graph/1."""
    check_graph(graph)
    allowed = checked_kinds(kinds)
    run = tuple(base_order(graph) if order is None else order)
    classes = chain_classes(graph) if "fuse" in allowed else [None] * len(graph.ops)
    groups = instructions(graph, run, classes)
    run = tuple(op for group in groups for op in group)
    place = {op: number for number, op in enumerate(run)}
    ops = [graph.ops[op] for op in run]
    planned = [not storage.always_there for storage in graph.storages]
    reads = [[s for s in op.touches if planned[s]] for op in ops]
    makes = [[s for s in op.creates if planned[s]] for op in ops]
    reuse = [[pair for pair in op.reuse if planned[pair[0]] and planned[pair[1]]] for op in ops]
    group_at, group = _lists([[place[op] for op in members] for members in groups])
    instruction = np.repeat(np.arange(len(groups)), np.diff(group_at))

    touched: list[list[int]] = [[] for _ in graph.storages]
    for number in range(len(ops)):
        for storage in (*makes[number], *reads[number]):
            if not touched[storage] or touched[storage][-1] != instruction[number]:
                touched[storage].append(int(instruction[number]))
    gap_at, gap_instruction = _lists(touched)
    behind: list[list[tuple[int, int]]] = [[] for _ in groups]
    for storage, places in enumerate(touched):
        for number, at in enumerate(places):
            behind[at].append((storage, int(gap_at[storage]) + number))
    touch_at, touch = _lists([[storage for storage, _ in entries] for entries in behind])
    _, touch_gap = _lists([[gap for _, gap in entries] for entries in behind])

    until, again = _repeatable(graph, run, instruction)
    creator = np.full(len(graph.storages), -1, dtype=np.int32)
    inside = np.zeros(len(graph.storages), dtype=np.int8)
    sizes = np.array([elements(graph, storage) for storage in range(len(graph.storages))], dtype=np.int64)
    numbers: dict[tuple[int, int], int] = {}
    op_class = np.full(len(ops), -1, dtype=np.int32)
    for number, op in enumerate(run):
        found = classes[op]
        if found is not None:
            op_class[number] = numbers.setdefault(found, len(numbers))
        for storage in makes[number]:
            creator[storage] = number
            inside[storage] = found is not None and sizes[storage] == found[1] and not graph.storages[storage].output
    reads_at, reads_list = _lists(reads)
    makes_at, makes_list = _lists(makes)
    reuse_at, reuse_new = _lists([[new for new, _ in pairs] for pairs in reuse])
    _, reuse_old = _lists([[old for _, old in pairs] for pairs in reuse])
    tape = Tape(
        group_at, group, touch_at, touch, touch_gap, reads_at, reads_list, makes_at, makes_list, reuse_at, reuse_new,
        reuse_old, gap_at, gap_instruction,
        op_us=np.array([op.time_us or 0.0 for op in ops], dtype=np.float64),
        op_class=op_class, op_again=again, op_until=until, creator=creator,
        size=np.array([storage.bytes for storage in graph.storages], dtype=np.int64),
        elements=sizes, inside=inside,
        output=np.array([storage.output for storage in graph.storages], dtype=np.int8),
        in_place=np.array(["in_place" in allowed], dtype=np.int8),
    )  # fmt: skip
    start, free = _states(graph, tape, "recompute" in allowed)
    share = 1.0 if graph.device is None else graph.device.fused_share
    return Problem(graph, allowed, run, tape, start, free, share, float(sum(op.time_us or 0.0 for op in ops)))


def free_problem(graph: Graph, kinds: Iterable[str] = FREE, order: Sequence[int] | None = None) -> Problem:
    """The problem without what costs time."""
    return problem_of(graph, checked_kinds(kinds) & frozenset(FREE), order)


def _lists(lists: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    at = np.zeros(len(lists) + 1, dtype=np.int32)
    at[1:] = np.cumsum([len(entries) for entries in lists])
    return at, np.array([entry for entries in lists for entry in entries], dtype=np.int32)


def _repeatable(graph: Graph, run: Sequence[int], instruction: NDArray[np.int64]) -> tuple[Ints, NDArray[np.int8]]:
    """For each op, the first later instruction that changes what it read, and whether it may run again before that."""
    count = len(run)
    until = np.full(count, NEVER, dtype=np.int32)
    again = np.zeros(count, dtype=np.int8)
    next_write: dict[int, int] = {}
    for number in reversed(range(count)):
        op = graph.ops[run[number]]
        until[number] = min((next_write[s] for s in op.reads if s in next_write), default=NEVER)
        made = [graph.storages[s] for s in op.creates]
        again[number] = (
            bool(op.pure) and not op.random and not op.writes and bool(made)
            and not any(s in next_write for s in op.creates)
            and not any(storage.output or storage.region == "host" for storage in made)
        )  # fmt: skip
        for storage in op.writes:
            next_write[storage] = int(instruction[number])
    return until, again


def _states(graph: Graph, tape: Tape, recompute: bool) -> tuple[NDArray[np.int8], Ints]:
    """The state that copies nothing, and the gaps that may have another.

    What cannot be made again stays to its last use, copies included; the rest dies with the last instruction that
    touches it.
    """
    start = np.zeros(len(tape.gap_instruction), dtype=np.int8)
    free: list[int] = []
    deep = _copies_until(tape)
    needed_again = np.zeros(len(graph.storages), dtype=bool)
    used = np.zeros(len(graph.storages), dtype=bool)
    used[tape.reads] = True
    for number in range(len(tape.op_us)):
        if tape.op_again[number] and recompute:
            needed_again[tape.reads[tape.reads_at[number] : tape.reads_at[number + 1]]] = True
    for storage, creator in enumerate(tape.creator):
        low, high = int(tape.gap_at[storage]), int(tape.gap_at[storage + 1])
        if low == high:
            continue
        if not used[storage]:
            continue  # what nobody reads is made all the same, once
        again = recompute and bool(tape.op_again[creator])
        if not tape.output[storage] and (again or not needed_again[storage]):
            start[high - 1] = DROP
        if again:
            until = deep[creator]
            free += [gap for gap in range(low, high - 1) if tape.gap_instruction[gap + 1] < until]
            free.append(high - 1)
    return start, np.array(free, dtype=np.int32)


def _copies_until(tape: Tape) -> Ints:
    """For each op, the first instruction in which it cannot be copied, the copies of what it reads included.

    What an op reads is there up to the last instruction that touches it, and for good where it cannot be made again.
    """
    until = tape.op_until.copy()
    for op in range(len(until)):
        for storage in tape.reads[tape.reads_at[op] : tape.reads_at[op + 1]]:
            creator = tape.creator[storage]
            if tape.op_again[creator]:
                there = tape.gap_instruction[tape.gap_at[storage + 1] - 1] + 1
                until[op] = min(until[op], max(there, until[creator]))
    return until
