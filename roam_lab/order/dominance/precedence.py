"""What order alone decides: dependences that others imply, and who may be the last to read a storage."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence

CHUNK = 16384
"""Ops whose descendants are traced at once: bits of one integer for each op."""


class OutOfTimeError(Exception):
    """The time limit struck while there was nothing yet to return."""


def check(deadline: float | None) -> None:
    """Raise OutOfTimeError once the deadline (time.perf_counter; None: no limit) has struck."""
    if deadline is not None and time.perf_counter() >= deadline:
        raise OutOfTimeError


def reduced(
    before: Sequence[Iterable[int]], groups: Sequence[Sequence[int]], deadline: float | None = None
) -> tuple[list[list[int]], list[list[int]]]:
    """The dependences that no others imply, and of each group its members that no other member must follow.

    Numbers stand in a legal order. Traces ancestors `CHUNK` at a time, as bits; raises OutOfTimeError at the deadline
    (time.perf_counter).
    """
    count = len(before)
    direct = [set(others) for others in before]
    unclear: list[list[int]] = [[] for _ in range(count)]
    last: list[list[int]] = []
    for number, group in enumerate(groups):
        last.append([] if len(group) > 1 else list(group))
        if len(group) > 1:
            for member in group:
                unclear[member].append(number)
    implied: list[set[int]] = [set() for _ in range(count)]
    for low in range(0, count, CHUNK):
        _trace(low, min(low + CHUNK, count), direct, unclear, implied, last, deadline)
    return [sorted(direct[op] - implied[op]) for op in range(count)], last


def _trace(
    low: int,
    high: int,
    before: list[set[int]],
    unclear: list[list[int]],
    implied: list[set[int]],
    last: list[list[int]],
    deadline: float | None,
) -> None:
    """Follow the ops in [low, high) to all that come after them."""
    reached: list[int] = []  # for each op from `low` on, its ancestors in the chunk
    users: dict[int, int] = {}  # storages that users in the chunk may be the last to read, and these users
    overtaken: dict[int, int] = {}
    for op in range(low, high):
        for storage in unclear[op]:
            users[storage] = users.get(storage, 0) | 1 << op - low
    final = [0] * len(before)  # the last op that asks for an op's ancestors: then they can go
    for op, others in enumerate(before):
        for other in others:
            final[other] = op
    for op in range(low, len(before)):
        if not op & 1023:
            check(deadline)
        direct = through = 0
        for other in before[op]:
            if other >= low:
                through |= reached[other - low]
                if other < high:
                    direct |= 1 << other - low
                if final[other] == op:
                    reached[other - low] = 0
        implied[op].update(low + bit for bit in bits(direct & through))
        reached.append(direct | through)
        for storage in unclear[op]:
            if storage in users:
                overtaken[storage] = overtaken.get(storage, 0) | (direct | through)
    for storage, mask in users.items():
        last[storage] += [low + bit for bit in bits(mask & ~overtaken.get(storage, 0))]


def bits(mask: int) -> list[int]:
    """The numbers of the bits that are set, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found
