"""What must run before what: legal orders, reachability as sets of bits, and dependences without the implied ones."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence

from roam_lab.order.effort import Effort

CHUNK = 16384
"""Ops whose descendants are traced at once: bits of one integer for each op."""


def bits(mask: int) -> list[int]:
    """The numbers of the bits that are set in `mask`, ascending."""
    found = []
    while mask:
        low = mask & -mask
        found.append(low.bit_length() - 1)
        mask ^= low
    return found


def followers_of(after: Sequence[Iterable[int]]) -> list[list[int]]:
    """For each op, the ops that name it in `after`, ascending."""
    found: list[list[int]] = [[] for _ in after]
    for op, before in enumerate(after):
        for other in before:
            found[other].append(op)
    return found


def topological(after: Sequence[Collection[int]], followers: Sequence[Iterable[int]]) -> list[int]:
    """The ops in a legal order; those on a circle, and what follows them, are missing."""
    waiting = list(map(len, after))
    order = [op for op, count in enumerate(waiting) if not count]
    for op in order:
        for follower in followers[op]:
            waiting[follower] -= 1
            if not waiting[follower]:
                order.append(follower)
    return order


def reach(edges: Sequence[Sequence[int]], start: int) -> set[int]:
    """All that can be reached from `start` along `edges`, without itself."""
    seen, stack = {start}, [start]
    while stack:
        for other in edges[stack.pop()]:
            if other not in seen:
                seen.add(other)
                stack.append(other)
    seen.discard(start)
    return seen


def reach_masks(edges: Sequence[Iterable[int]], order: Sequence[int]) -> list[int]:
    """For each op, all that can be reached along `edges`, one bit an op; `order` visits heads before tails."""
    masks = [0] * len(edges)
    for op in order:
        mask = 0
        for other in edges[op]:
            mask |= masks[other] | 1 << other
        masks[op] = mask
    return masks


def direct(
    before: Sequence[Iterable[int]], groups: Sequence[Sequence[int]], effort: Effort
) -> tuple[list[list[int]], list[list[int]]]:
    """The transitive reduction of `before`, and of each group its members that no other member must follow.

    Numbers stand in a legal order. Ancestors are traced `CHUNK` at a time, one bit each. Raises SpentError at the
    deadline of `effort`.
    """
    count = len(before)
    given = [set(others) for others in before]
    unclear: list[list[int]] = [[] for _ in range(count)]
    last: list[list[int]] = []
    for number, group in enumerate(groups):
        last.append([] if len(group) > 1 else list(group))
        if len(group) > 1:
            for member in group:
                unclear[member].append(number)
    implied: dict[int, set[int]] = {}
    for low in range(0, count, CHUNK):
        _trace(low, min(low + CHUNK, count), given, unclear, implied, last, effort)
    return [sorted(others - implied[op] if op in implied else others) for op, others in enumerate(given)], last


def _trace(
    low: int,
    high: int,
    before: list[set[int]],
    unclear: list[list[int]],
    implied: dict[int, set[int]],
    last: list[list[int]],
    effort: Effort,
) -> None:
    """Follow the ops in [low, high) to all that come after them."""
    reached: list[int] = []  # for each op from `low` on, its ancestors in the chunk
    users: dict[int, int] = {}  # storages that users in the chunk may be the last to read, and these users
    overtaken: dict[int, int] = {}
    for op in range(low, high):
        for storage in unclear[op]:
            users[storage] = users.get(storage, 0) | 1 << op - low
    final = [0] * len(before)  # the last op that asks for an op's ancestors: after it they are forgotten
    for op, others in enumerate(before):
        for other in others:
            final[other] = op
    for op in range(low, len(before)):
        if not op & 1023:
            effort.check()
        direct = through = 0
        for other in before[op]:
            if other >= low:
                through |= reached[other - low]
                if other < high:
                    direct |= 1 << other - low
                if final[other] == op:
                    reached[other - low] = 0
        if len(before[op]) > 1 and direct & through:
            implied.setdefault(op, set()).update(low + bit for bit in bits(direct & through))
        reached.append(direct | through)
        for storage in unclear[op]:
            if storage in users:
                overtaken[storage] = overtaken.get(storage, 0) | (direct | through)
    for storage, mask in users.items():
        last[storage] += [low + bit for bit in bits(mask & ~overtaken.get(storage, 0))]
