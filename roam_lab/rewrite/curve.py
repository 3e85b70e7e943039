"""The curve of live bytes of a run on paper, in which results take the memory of operands that are not needed any
more."""

from __future__ import annotations

from roam_lab.rewrite.tape import Tape
from roam_lab.rewrite.trace import Trace
from roam_lab.solvers.compiled import compiled


@compiled
def accounted(tape: Tape, trace: Trace, target: int) -> tuple[int, float]:
    """Let results take the memory of operands whose last use this is, then fill `trace.curve`. Returns the first item
    of greatest live bytes, and the sum, over all items, of their bytes above `target`.

    A result may take an operand's memory if the item is the operand's last use, the two are equally large, and the op
    lists the pair in `Op.reuse` and is the last op of the item to read the operand; or if, in a chain, all readers of
    the operand come before, row by row.
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
    hottest, live, peak, over = 0, 0, -1, 0.0
    for item in range(items):
        live += curve[item]
        curve[item] = live
        over += max(0, live - target)
        if live > peak:
            peak, hottest = live, item
    return hottest, over
