"""The depth-first search itself, compiled: buffers at their least offsets, never decreasing along a branch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from roam_lab.solvers.compiled import compiled

Array = NDArray[np.int64]

FOUND, IMPOSSIBLE, PAUSED = 0, 1, 2

# Columns of `buffers`. TWIN: the buffer before it of the same sections and size, or -1. FLOOR: the least offset.
LOW, HIGH, SIZE, TWIN, RANK, FLOOR, PLACED, FOUND_AT = 0, 1, 2, 3, 4, 5, 6, 7
BUFFER_FIELDS = 8
# Rows of `sections`: bytes unplaced, unplaced buffers that go on into the next one, top of the stack in `ceiling`, how
# often that was too high.
UNPLACED, CROSSING, TOP, FAILED = 0, 1, 2, 3
SECTION_FIELDS = 4
# Columns of `frames`, one row a placed buffer. Its component: COUNT buffers from BASE on in `lists`, by floor, in the
# sections FIRST to LAST. (OFFSET, TIE): the place and rank of the last one tried, BEFORE_*: as they were at first.
BASE, COUNT, FIRST, LAST, OFFSET, TIE, CHOSEN, TRAIL, KEPT, SCAN = 0, 1, 2, 3, 4, 5, 6, 7, 8, 9
CEILING, KEY, BEFORE_OFFSET, BEFORE_TIE, RANKING = 10, 11, 12, 13, 14
FRAME_FIELDS = 15
DEPTH, STATE, TRAIL_END, LISTS_END, NODES, WORK, RANKINGS = 0, 1, 2, 3, 4, 5, 6
REGISTERS = 7
ENTER, NEXT, DESCEND, SUCCEED, FAIL = 0, 1, 2, 3, 4
HUGE = 2**62


@compiled
def place(buffers: Array, sections: Array, lists: Array, trail: Array, frame: Array, registers: Array) -> bool:
    """Place the frame's chosen buffer at its floor, and raise the floors of unplaced buffers that live with it. Returns
    whether the unplaced buffers now fall into components that share no section."""
    base, count, chosen = frame[BASE], frame[COUNT], frame[CHOSEN]
    low, high, size = buffers[chosen, LOW], buffers[chosen, HIGH], buffers[chosen, SIZE]
    top = buffers[chosen, FLOOR] + size
    end = registers[TRAIL_END]
    frame[TRAIL] = end
    kept = base
    at = base
    while at < base + count:
        other = lists[at]
        floor = buffers[other, FLOOR]
        if floor >= top:
            break
        if buffers[other, LOW] < high and low < buffers[other, HIGH]:
            trail[end, 0], trail[end, 1] = other, floor
            end += 1
            if other != chosen:
                buffers[other, FLOOR] = top
        else:
            lists[kept] = other
            kept += 1
        at += 1
    frame[KEPT] = kept
    for index in range(frame[TRAIL], end):
        if trail[index, 0] != chosen:
            lists[kept] = trail[index, 0]
            kept += 1
    while at < base + count:
        lists[kept] = lists[at]
        kept += 1
        at += 1
    registers[TRAIL_END] = end
    buffers[chosen, PLACED] = 1
    free = False
    for section in range(low, high):
        sections[UNPLACED, section] -= size
        if section + 1 < high:
            sections[CROSSING, section] -= 1
            free = free or sections[CROSSING, section] == 0
    return free


@compiled
def take_back(buffers: Array, sections: Array, lists: Array, trail: Array, frame: Array, registers: Array) -> None:
    """Undo `place`."""
    base, chosen, kept = frame[BASE], frame[CHOSEN], frame[KEPT]
    low, high, size = buffers[chosen, LOW], buffers[chosen, HIGH], buffers[chosen, SIZE]
    top = buffers[chosen, FLOOR] + size
    begin, end = frame[TRAIL], registers[TRAIL_END]
    for index in range(begin, end):
        buffers[trail[index, 0], FLOOR] = trail[index, 1]
    # Among equal floors the sequence may have changed meanwhile: those on the trail are told by their floors.
    to = base + frame[COUNT]
    for at in range(to - 2, kept - 1, -1):
        if buffers[lists[at], FLOOR] >= top:
            to -= 1
            lists[to] = lists[at]
    # Two runs sorted by floor are merged from their ends: those that kept their floor, and those on the trail.
    while end > begin:
        end -= 1
        while kept > base and buffers[lists[kept - 1], FLOOR] > trail[end, 1]:
            kept -= 1
            to -= 1
            lists[to] = lists[kept]
        to -= 1
        lists[to] = trail[end, 0]
    registers[TRAIL_END] = begin
    buffers[chosen, PLACED] = 0
    for section in range(low, high):
        sections[UNPLACED, section] += size
        if section + 1 < high:
            sections[CROSSING, section] += 1


@compiled
def ceiling(buffers: Array, sections: Array, lists: Array, frame: Array, registers: Array, capacity: int) -> int:
    """The least end (floor + size) of any unplaced buffer; -1 if some section cannot hold its unplaced buffers.

    A lower bound for a section: stack its unplaced buffers by ascending floor, each at its floor or on the one before;
    no layout ends lower. (It is one machine with release dates, and stronger than least floor plus sum of sizes.)
    """
    base, offset, count = frame[BASE], frame[OFFSET], frame[COUNT]
    for section in range(frame[FIRST], frame[LAST]):
        sections[TOP, section] = offset
    least = HUGE
    key = count
    work = frame[LAST] - frame[FIRST] + 8
    for at in range(base, base + count):
        buffer = lists[at]
        low, high = buffers[buffer, LOW], buffers[buffer, HIGH]
        size, floor = buffers[buffer, SIZE], buffers[buffer, FLOOR]
        least = min(least, floor + size)
        mixed = (floor ^ (buffer * 668265263)) * 2654435769
        mixed = (mixed ^ (mixed >> 29)) * 3266489917
        key += mixed ^ (mixed >> 32)
        work += high - low + 4
        for section in range(low, high):
            top = max(sections[TOP, section], floor) + size
            if top > capacity:
                registers[WORK] += work
                sections[FAILED, section] += 1
                return -1
            sections[TOP, section] = top
    registers[WORK] += work
    frame[KEY] = key
    return least


@compiled
def choose(buffers: Array, lists: Array, frame: Array) -> int:
    """The next buffer to try: the least (floor, rank) after the last one tried, below the ceiling; -1 if none."""
    base, offset, tie, roof = frame[BASE], frame[OFFSET], frame[TIE], frame[CEILING]
    chosen = -1
    level = roof
    for at in range(base, base + frame[COUNT]):
        buffer = lists[at]
        floor = buffers[buffer, FLOOR]
        if floor > level or floor >= roof:
            break
        if floor < offset or (floor == offset and buffers[buffer, RANK] <= tie):
            continue
        if buffers[buffer, TWIN] >= 0 and not buffers[buffers[buffer, TWIN], PLACED]:
            continue
        if chosen < 0 or buffers[buffer, RANK] < buffers[chosen, RANK]:
            chosen, level = buffer, floor
    return chosen


@compiled
def known(memory: Array, frame: Array) -> bool:
    """Whether the same unplaced buffers at the same floors were searched without success before, from the same or a
    lower offset."""
    row = memory[frame[KEY] & (len(memory) - 1)]
    if row[0] != frame[KEY] or row[1] > frame[OFFSET]:
        return False
    return bool(row[1] < frame[OFFSET] or row[2] < 0 or (row[3] == frame[RANKING] and row[2] <= frame[TIE]))


@compiled
def rank_anew(buffers: Array, sections: Array, lists: Array, saved: Array, base: int, count: int) -> None:
    """Rank a component's buffers by the most unplaced bytes in any of their sections; ties keep their sequence. The old
    ranks go into `saved`."""
    for at in range(base, base + count):
        buffer = lists[at]
        saved[at, 0], saved[at, 1], saved[at, 2] = buffer, buffers[buffer, RANK], 0
        for section in range(buffers[buffer, LOW], buffers[buffer, HIGH]):
            saved[at, 2] = max(saved[at, 2], sections[UNPLACED, section])
    for at in range(base, base + count):
        rank = 0
        for other in range(base, base + count):
            if saved[other, 2] > saved[at, 2] or (saved[other, 2] == saved[at, 2] and saved[other, 0] < saved[at, 0]):
                rank += 1
        buffers[saved[at, 0], RANK] = rank


@compiled
def leave(buffers: Array, saved: Array, frames: Array, depth: int, registers: Array) -> None:
    """Drop the list of a component whose first frame was that at `depth`, and restore its buffers' ranks."""
    base = frames[depth, BASE]
    if base != frames[depth - 1, BASE]:
        if frames[depth, RANKING] != frames[depth - 1, RANKING]:
            for at in range(base, registers[LISTS_END]):
                buffers[saved[at, 0], RANK] = saved[at, 1]
        registers[LISTS_END] = base


@compiled
def search(
    buffers: Array,
    sections: Array,
    lists: Array,
    saved: Array,
    trail: Array,
    memory: Array,
    frames: Array,
    registers: Array,
    capacity: int,
    dynamic: bool,
    last_node: int,
    last_work: int,
) -> int:
    """Continue the search whose state the arrays hold. Returns FOUND, IMPOSSIBLE, or PAUSED once `last_node` nodes or
    `last_work` units of work are done.

    Buffers are numbered by rank. `dynamic`: a component that splits off ranks its buffers anew. The offsets found stand
    in the column FOUND_AT. `tree.Tree` makes the arrays; after PAUSED the search can be continued with them.
    """
    depth, state = registers[DEPTH], registers[STATE]
    while True:
        frame = frames[depth]
        if state == ENTER:
            if registers[NODES] >= last_node or registers[WORK] >= last_work:
                registers[DEPTH], registers[STATE] = depth, state
                return PAUSED
            registers[NODES] += 1
            if frame[COUNT] == 0:
                state = SUCCEED
                continue
            frame[CEILING] = ceiling(buffers, sections, lists, frame, registers, capacity)
            state = FAIL if frame[CEILING] < 0 or known(memory, frame) else NEXT
            frame[BEFORE_OFFSET], frame[BEFORE_TIE] = frame[OFFSET], frame[TIE]
        elif state == NEXT:
            chosen = choose(buffers, lists, frame)
            if chosen < 0:
                row = memory[frame[KEY] & (len(memory) - 1)]
                row[0], row[1], row[2], row[3] = frame[KEY], frame[BEFORE_OFFSET], frame[BEFORE_TIE], frame[RANKING]
                state = FAIL
                continue
            frame[CHOSEN], frame[OFFSET], frame[TIE] = chosen, buffers[chosen, FLOOR], buffers[chosen, RANK]
            free = place(buffers, sections, lists, trail, frame, registers)
            frame[SCAN] = frame[FIRST] if free else frame[LAST]
            if free:
                state = DESCEND
            else:
                frames[depth + 1] = frame
                frames[depth + 1, COUNT] -= 1
                depth += 1
                state = ENTER
        elif state == DESCEND:
            begin = frame[SCAN]
            while begin < frame[LAST] and sections[UNPLACED, begin] == 0:
                begin += 1
            if begin == frame[LAST]:
                state = SUCCEED
                continue
            finish = begin + 1
            while finish < frame[LAST] and sections[CROSSING, finish - 1] > 0:
                finish += 1
            child = frames[depth + 1]
            frames[depth + 1] = frame
            child[COUNT] -= 1
            end = registers[LISTS_END]
            inside = 0
            if end + child[COUNT] <= len(lists):
                for at in range(frame[BASE], frame[BASE] + child[COUNT]):
                    if begin <= buffers[lists[at], LOW] and buffers[lists[at], HIGH] <= finish:
                        lists[end + inside] = lists[at]
                        inside += 1
            frame[SCAN] = frame[LAST]
            if 0 < inside < child[COUNT]:  # else it is whole, or there is no room to list it apart
                frame[SCAN] = finish
                registers[LISTS_END] = end + inside
                child[BASE], child[COUNT], child[FIRST], child[LAST], child[TIE] = end, inside, begin, finish, -1
                if dynamic:
                    rank_anew(buffers, sections, lists, saved, end, inside)
                    registers[RANKINGS] += 1
                    child[RANKING] = registers[RANKINGS]
            depth += 1
            state = ENTER
        elif state == SUCCEED:
            if frame[COUNT] > 0:
                buffers[frame[CHOSEN], FOUND_AT] = buffers[frame[CHOSEN], FLOOR]
                take_back(buffers, sections, lists, trail, frame, registers)
            if depth == 0:
                return FOUND
            leave(buffers, saved, frames, depth, registers)
            depth -= 1
            state = DESCEND
        else:
            if depth == 0:
                return IMPOSSIBLE
            leave(buffers, saved, frames, depth, registers)
            depth -= 1
            take_back(buffers, sections, lists, trail, frames[depth], registers)
            state = NEXT
