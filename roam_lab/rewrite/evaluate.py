"""What a state costs, exactly: the graph run on paper, copies made just in time, its curve and its modelled time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from roam_lab.compiled import compiled
from roam_lab.rewrite.tape import DROP, HOLD, KEEP, SCRATCH_BYTES, Ints, Problem, Tape

GROWTH = 6
"""How many times as many ops as in the graph a rewriting may run."""
IMPOSSIBLE = 2**62


class Trace(NamedTuple):
    """Where the evaluator works and leaves what it found. An item is what runs as one op of the rewritten graph; an
    instance is one life of a storage, from the item that makes it to the last one that uses it.

    `found`: how many items and instances. `item_main`: whether the item is the instruction itself and not a copy made
    before it. `made_by`: the op of a made instance; `place_of`: the instance whose place it takes, or -1.
    """

    found: NDArray[np.int64]
    item_instruction: Ints
    item_main: NDArray[np.int8]
    item_us: NDArray[np.float64]
    scratch: NDArray[np.int64]
    ops_at: Ints
    ops: Ints
    reads_at: Ints
    reads: Ints  # instances
    makes_at: Ints
    makes: Ints  # instances
    instance_storage: Ints
    birth: Ints
    last: Ints
    made_by: Ints
    place_of: Ints
    taken: Ints
    curve: NDArray[np.int64]
    # while it runs
    live: Ints
    pins: Ints
    gap: Ints
    next_gap: Ints
    next_at: Ints
    op_mark: Ints
    read_mark: Ints
    inner_mark: Ints
    inner_last: Ints
    first_op: Ints  # of a frame
    end_op: Ints
    first_read: Ints
    end_read: Ints
    frame_mark: Ints
    op_stack: Ints
    read_stack: Ints


def new_trace(problem: Problem) -> Trace:
    """Room for any state of the problem."""
    tape = problem.tape
    ops, storages = len(tape.op_us), len(tape.size)
    most = GROWTH * ops + 16
    touches = GROWTH * (len(tape.reads) + len(tape.makes)) + 16

    def ints(count: int) -> Ints:
        return np.zeros(count, dtype=np.int32)

    return Trace(
        np.zeros(2, dtype=np.int64), ints(most), np.zeros(most, dtype=np.int8), np.zeros(most),
        np.zeros(most, dtype=np.int64), ints(most + 1), ints(most), ints(most + 1), ints(touches), ints(most + 1),
        ints(touches), ints(touches), ints(touches), ints(touches), ints(touches), ints(touches), ints(touches),
        np.zeros(most + 1, dtype=np.int64),
        ints(storages), ints(storages), ints(storages), ints(storages), ints(storages), ints(ops), ints(storages),
        ints(storages), ints(storages), ints(ops), ints(ops), ints(ops), ints(ops), ints(ops), ints(4 * ops + 64),
        ints(4 * len(tape.reads) + 64),
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Cost:
    """Live peak in bytes, modelled time in us, and the item at which the peak is first reached. `over` and `highest`:
    bytes above a target, summed over items and at most."""

    peak: int
    us: float
    hottest: int
    over: float = 0.0
    highest: float = 0.0

    @property
    def possible(self) -> bool:
        """Whether the state can be run at all."""
        return self.peak < IMPOSSIBLE

    @property
    def excess(self) -> float:
        """How far it is from the target: zero once it is met."""
        return self.over + 3 * self.highest


def evaluate(problem: Problem, state: NDArray[np.int8], trace: Trace, target: int = 0) -> Cost:
    """Run `state` on paper; `trace` holds what happened. `over` is counted from `target` bytes."""
    us, hottest, over = costed(problem.tape, state, trace, problem.share, SCRATCH_BYTES, target)
    if us < 0:
        return Cost(IMPOSSIBLE, float("inf"), 0, float("inf"), float("inf"))
    peak = int(trace.curve[hottest])
    return Cost(peak, us, int(hottest), over, float(max(0, peak - target)))


@compiled
def costed(
    tape: Tape, state: NDArray[np.int8], trace: Trace, share: float, most_scratch: int, target: int
) -> tuple[float, int, float]:
    """Time in us (-1: impossible), the hottest item, and the bytes above `target`, summed over items."""
    us = expanded(tape, state, trace, share, most_scratch)
    if us < 0:
        return -1.0, 0, 0.0
    hottest = accounted(tape, trace)
    over = 0.0
    for item in range(trace.found[0]):
        over += max(0, trace.curve[item] - target)
    return us, hottest, over


@compiled
def expanded(tape: Tape, state: NDArray[np.int8], trace: Trace, share: float, most_scratch: int) -> float:
    """Fill the trace but for its curve. Returns the modelled time in us, or -1 if the state cannot be run.

    One function, its arrays in locals: a call or an attribute in the inner loops would cost more than the work.
    A frame is an item in the making: its ops lie on one stack, its operands on another; the frame of an operand's
    producer is run first, on top of it. Frame 0 is the instruction itself.
    """
    group_at, group, reads_at, reads = tape.group_at, tape.group, tape.reads_at, tape.reads
    makes_at, makes, touch_at, touch, touch_gap = tape.makes_at, tape.makes, tape.touch_at, tape.touch, tape.touch_gap
    op_us, op_class, op_again, op_until = tape.op_us, tape.op_class, tape.op_again, tape.op_until
    creator, size, inside, gap_at = tape.creator, tape.size, tape.inside, tape.gap_at
    live, pins, gap, next_gap, next_at = trace.live, trace.pins, trace.gap, trace.next_gap, trace.next_at
    op_mark, read_mark, inner_mark, inner_last = trace.op_mark, trace.read_mark, trace.inner_mark, trace.inner_last
    op_stack, read_stack, birth, last = trace.op_stack, trace.read_stack, trace.birth, trace.last
    first_op, end_op, first_read, end_read = trace.first_op, trace.end_op, trace.first_read, trace.end_read
    made_by, instance_storage, frame_mark = trace.made_by, trace.instance_storage, trace.frame_mark
    item_reads, item_makes, item_ops = trace.reads, trace.makes, trace.ops
    item_instruction, item_main, item_us, item_scratch = (
        trace.item_instruction, trace.item_main, trace.item_us, trace.scratch,
    )  # fmt: skip
    item_ops_at, item_reads_at, item_makes_at = trace.ops_at, trace.reads_at, trace.makes_at
    live[:] = -1
    pins[:] = 0
    gap[:] = -1
    next_at[:] = -1
    op_mark[:] = 0
    read_mark[:] = 0
    inner_mark[:] = 0
    total = 0.0
    item = op_count = read_count = make_count = instance = marks = 0
    for now in range(len(group_at) - 1):
        for k in range(touch_at[now], touch_at[now + 1]):
            next_at[touch[k]] = now
            next_gap[touch[k]] = touch_gap[k]
        top = 0
        marks += 1
        for k in range(group_at[now], group_at[now + 1]):
            op = group[k]
            wanted = not op_again[op] or now >= op_until[op]
            for m in range(makes_at[op], makes_at[op + 1]):
                wanted = wanted or state[gap_at[makes[m]]] == KEEP
            if wanted:  # the results of the others are not kept: whoever needs one makes it
                op_stack[top] = op
                op_mark[op] = marks
                top += 1
        depth = 0 if top > 0 else -1
        first_op[0], first_read[0], frame_mark[0] = 0, 0, marks
        opened = False
        at = 0
        while depth >= 0:
            mark = frame_mark[depth]
            if not opened:
                # take in the producers that can pass their results inside; list and pin what must be live
                walk, at = first_op[depth], first_read[depth]
                end = at
                while walk < top:
                    op = op_stack[walk]
                    walk += 1
                    for k in range(reads_at[op], reads_at[op + 1]):
                        storage = reads[k]
                        if live[storage] < 0:
                            producer = creator[storage]
                            if op_mark[producer] == mark:
                                if inside[storage] or gap[storage] < 0:
                                    continue
                            elif (
                                op_class[op] >= 0
                                and op_class[op] == op_class[producer]
                                and op_again[producer]
                                and inside[storage]
                                and now < op_until[producer]
                                and (gap[storage] < 0 or state[gap[storage]] != HOLD)
                                and top < len(op_stack)
                            ):
                                op_stack[top] = producer
                                op_mark[producer] = mark
                                top += 1
                                continue
                        if read_mark[storage] != mark:
                            if end >= len(read_stack):
                                return -1.0
                            read_mark[storage] = mark
                            read_stack[end] = storage
                            end += 1
                            pins[storage] += 1
                end_op[depth], end_read[depth] = top, end
                opened = True
            end = end_read[depth]
            while at < end and live[read_stack[at]] >= 0:
                at += 1
            if at < end:  # the producer of what is missing goes first
                producer = creator[read_stack[at]]
                if (
                    not op_again[producer]
                    or now >= op_until[producer]
                    or depth + 1 >= len(first_op)
                    or top >= len(op_stack)
                ):
                    return -1.0
                depth += 1
                marks += 1
                first_op[depth], first_read[depth], frame_mark[depth] = top, end, marks
                op_stack[top] = producer
                op_mark[producer] = marks
                top += 1
                opened = False
                continue

            low, high, first = first_op[depth], end_op[depth], first_read[depth]
            if (
                item + 1 >= len(item_us)
                or op_count + high - low > len(item_ops)
                or read_count + end - first > len(item_reads)
            ):
                return -1.0
            for k in range(low + 1, high):  # its ops in their sequence
                op = op_stack[k]
                m = k
                while m > low and op_stack[m - 1] > op:
                    op_stack[m] = op_stack[m - 1]
                    m -= 1
                op_stack[m] = op
            for k in range(first, end):
                storage = read_stack[k]
                last[live[storage]] = item
                item_reads[read_count] = live[storage]
                read_count += 1
                pins[storage] -= 1
            fused = high - low > 1
            whole, slowest = 0.0, 0.0
            for k in range(low, high):
                op = op_stack[k]
                item_ops[op_count] = op
                op_count += 1
                whole += op_us[op]
                slowest = max(slowest, op_us[op])
                for m in range(makes_at[op], makes_at[op + 1]):
                    storage = makes[m]
                    if next_at[storage] == now:
                        stays = state[next_gap[storage]] == KEEP
                    else:
                        stays = gap[storage] >= 0 and state[gap[storage]] == HOLD
                    stays = live[storage] < 0 and (stays or pins[storage] > 0)
                    if fused and inside[storage] and not stays:
                        inner_mark[storage] = mark
                        inner_last[storage] = op
                        continue
                    if make_count >= len(item_makes):
                        return -1.0
                    instance_storage[instance] = storage
                    birth[instance] = item
                    last[instance] = item
                    made_by[instance] = op
                    item_makes[make_count] = instance
                    if stays:
                        live[storage] = instance
                    make_count += 1
                    instance += 1
                if fused:
                    for m in range(reads_at[op], reads_at[op + 1]):
                        if inner_mark[reads[m]] == mark:
                            inner_last[reads[m]] = op
            inner = scratch = 0
            if fused:
                for k in range(low, high):
                    op = op_stack[k]
                    for m in range(makes_at[op], makes_at[op + 1]):
                        if inner_mark[makes[m]] == mark:
                            inner += size[makes[m]]
                    scratch = max(scratch, inner)
                    for m in range(makes_at[op], makes_at[op + 1]):
                        if inner_mark[makes[m]] == mark and inner_last[makes[m]] == op:
                            inner -= size[makes[m]]
                    for m in range(reads_at[op], reads_at[op + 1]):
                        if inner_mark[reads[m]] == mark and inner_last[reads[m]] == op:
                            inner -= size[reads[m]]
            for k in range(first, end):  # copies that nobody holds are gone
                storage = read_stack[k]
                held_on = pins[storage] > 0 or next_at[storage] == now or live[storage] < 0
                if not held_on and state[gap[storage]] == DROP:
                    live[storage] = -1
            us = max(slowest, share * whole) if fused else whole
            total += us
            item_instruction[item] = now
            item_main[item] = depth == 0
            item_us[item] = us
            item_scratch[item] = min(scratch, most_scratch)
            item += 1
            item_ops_at[item] = op_count
            item_reads_at[item] = read_count
            item_makes_at[item] = make_count
            depth -= 1
            top = low
            at = first_read[depth] if depth >= 0 else 0
        for k in range(touch_at[now], touch_at[now + 1]):
            storage = touch[k]
            gap[storage] = touch_gap[k]
            if state[touch_gap[k]] != KEEP:
                live[storage] = -1
    trace.found[0], trace.found[1] = item, instance
    return total


@compiled
def accounted(tape: Tape, trace: Trace) -> int:
    """Let results take the places of what dies with their item, then sum the curve. Returns its first highest item.

    A result may lie where an operand lay whose last use this is, if they are equally large and its op names the pair
    and is the last of the item to read it; or if all that read it come before in a chain, row by row.
    """
    size, output, elements, inside = tape.size, tape.output, tape.elements, tape.inside
    reads_at, reads, reuse_at = tape.reads_at, tape.reads, tape.reuse_at
    reuse_new, reuse_old = tape.reuse_new, tape.reuse_old
    instance_storage, birth, last, made_by = trace.instance_storage, trace.birth, trace.last, trace.made_by
    place_of, taken, curve = trace.place_of, trace.taken, trace.curve
    ops_at, ops, item_reads_at, item_reads = trace.ops_at, trace.ops, trace.reads_at, trace.reads
    item_makes_at, item_makes, scratch, in_place = trace.makes_at, trace.makes, trace.scratch, tape.in_place[0]
    items, instances = trace.found[0], trace.found[1]
    curve[: items + 1] = 0
    for instance in range(instances):
        place_of[instance] = -1
        taken[instance] = 0
        if output[instance_storage[instance]]:
            last[instance] = items - 1
    for item in range(items):
        curve[item] += scratch[item]
        curve[item + 1] -= scratch[item]
        if not in_place:
            continue
        for k in range(item_makes_at[item], item_makes_at[item + 1]):
            made = item_makes[k]
            new = instance_storage[made]
            if output[new]:
                continue
            for j in range(item_reads_at[item], item_reads_at[item + 1]):
                instance = item_reads[j]
                old = instance_storage[instance]
                if last[instance] != item or taken[instance] or size[old] != size[new] or output[old]:
                    continue
                op = made_by[made]
                reader = -1
                for n in range(ops_at[item], ops_at[item + 1]):
                    for m in range(reads_at[ops[n]], reads_at[ops[n] + 1]):
                        if reads[m] == old:
                            reader = ops[n]
                fits = reader < op and inside[new] == 1 and elements[new] == elements[old]
                if reader == op:
                    for m in range(reuse_at[op], reuse_at[op + 1]):
                        fits = fits or (reuse_new[m] == new and reuse_old[m] == old)
                if fits:
                    place_of[made] = instance
                    taken[instance] = 1
                    break
    for instance in range(instances):
        bytes_ = size[instance_storage[instance]]
        curve[birth[instance]] += bytes_
        curve[last[instance] + 1 - taken[instance]] -= bytes_
    hottest, live, peak = 0, 0, -1
    for item in range(items):
        live += curve[item]
        curve[item] = live
        if live > peak:
            peak, hottest = live, item
    return hottest
