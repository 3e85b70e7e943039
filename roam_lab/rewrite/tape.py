"""The *tape*: a graph as flat arrays, its ops in the order that rewriting starts from. The compiled evaluator runs on
it.

The tape is run *instruction* by instruction. An instruction is one op, or a chain of row-wise ops that run fused.
Behind each instruction that touches a storage begins a *gap* of that storage, which ends at the next instruction that
touches it; the last gap ends with the step. A *state* is an array with one of KEEP, DROP and HOLD for every gap.
"""

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
"""What a state says of a gap. KEEP: the storage stays in memory. DROP: it is dropped, and made again where it is
needed; a copy made within the gap (as operand of another op that runs again) is dropped after that use. HOLD: it is
dropped, but a copy made within the gap stays to the gap's end."""

NEVER = 2**31 - 1
SCRATCH_BYTES = 16 * 2**20
"""The most bytes that a fused op may take for values that pass inside it."""

Ints = NDArray[np.int32]


class Tape(NamedTuple):
    """The arrays. Ops are numbered in the order that rewriting starts from. Storages keep the graph's numbers;
    residents and storages on the host are in none of the lists. A list of lists `x` is flat: the entries of i are
    `x[x_at[i] : x_at[i + 1]]`.

    `group`: instruction -> its ops. `touch`, `touch_gap`: instruction -> the storages that its ops use or create, and
    the gap of each that begins there. `reads`: op -> storages that it uses without creating them. `makes`: op ->
    storages that it creates. `reuse_new`, `reuse_old`: op -> `Op.reuse`. `gap_at`: storage -> its gaps, in time;
    `gap_instruction`: gap -> the instruction behind which it begins. `op_us`: times in us; `size`: bytes.
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
    """A graph made ready for rewriting. Op k of the tape is op `order[k]` of the graph.

    `start`: the state that recomputes nothing; `free_gaps`: the gaps in which a state may differ from it. `kinds`: the
    kinds of rewriting that are allowed. `share`: `Device.fused_share` of the graph; `base_us`: the time of all its ops.
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
        """For each gap its storage."""
        counts = np.diff(self.tape.gap_at)
        return np.repeat(np.arange(len(counts), dtype=np.int32), counts)


def problem_of(graph: Graph, kinds: Iterable[str] = ON_DEVICE, order: Sequence[int] | None = None) -> Problem:
    """The problem of rewriting `graph`, starting from `order` (None: the base order). Raises FormatError for a
    roam-graph/1, and ParameterError for an unknown kind."""
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
    """`problem_of` with those of `kinds` that cost no time."""
    return problem_of(graph, checked_kinds(kinds) & frozenset(FREE), order)


def _lists(lists: Sequence[Sequence[int]]) -> tuple[Ints, Ints]:
    at = np.zeros(len(lists) + 1, dtype=np.int32)
    at[1:] = np.cumsum([len(entries) for entries in lists])
    return at, np.array([entry for entries in lists for entry in entries], dtype=np.int32)


def _repeatable(graph: Graph, run: Sequence[int], instruction: NDArray[np.int64]) -> tuple[Ints, NDArray[np.int8]]:
    """For each op the first later instruction that changes a storage that it read (NEVER: none), and whether the op may
    run again before that."""
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
    """The state that makes no copies, and the gaps in which other states may differ from it.

    A storage is dropped after the last instruction that touches it. Only one that cannot be made again, and that an op
    which may run again reads, is kept after that: a copy of the op may need it.
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
            continue  # a storage that no op reads is made once all the same
        again = recompute and bool(tape.op_again[creator])
        if not tape.output[storage] and (again or not needed_again[storage]):
            start[high - 1] = DROP
        if again:
            until = deep[creator]
            free += [gap for gap in range(low, high - 1) if tape.gap_instruction[gap + 1] < until]
            free.append(high - 1)
    return start, np.array(free, dtype=np.int32)


def _copies_until(tape: Tape) -> Ints:
    """For each op the first instruction in which no copy of it can run any more.

    A copy needs its operands. One that cannot be made again is kept as long as needed (`_states`); any other is in
    memory up to the last instruction that touches it, and can itself be made again up to its own limit.
    """
    until = tape.op_until.copy()
    for op in range(len(until)):
        for storage in tape.reads[tape.reads_at[op] : tape.reads_at[op + 1]]:
            creator = tape.creator[storage]
            if tape.op_again[creator]:
                there = tape.gap_instruction[tape.gap_at[storage + 1] - 1] + 1
                until[op] = min(until[op], max(there, until[creator]))
    return until
