"""The run of a state on paper: an op that is repeated runs just before its result is needed, inside a fused op where it
can."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roam_lab.rewrite.tape import DROP, HOLD, KEEP, Tape
from roam_lab.rewrite.trace import Trace
from roam_lab.solvers.compiled import compiled


@compiled
def expanded(tape: Tape, state: NDArray[np.int8], trace: Trace, share: float, most_scratch: int) -> float:
    """Run `state` and fill `trace`, except its curve. Returns the modelled time in us, or -1 if the state cannot be
    run. `share`: `Device.fused_share`; `most_scratch`: the most bytes that a fused op may take for values inside it.

    This is one function with its arrays in local names: a call or an attribute in the inner loops would cost more than
    the work. A frame is an item in the making: its ops lie on one stack, its operands on another. Where an operand is
    missing, a frame for its producer is pushed and run first. Frame 0 is the instruction itself.
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
            if wanted:  # the results of other ops are not kept: an op that needs one makes it again
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
            for k in range(first, end):  # copies that nothing pins are dropped in DROP gaps
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
