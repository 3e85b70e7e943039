"""Storages that go to the host between two of their uses, written out: a copy out, a copy back, new storages."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from roam_lab.ir.graph import Op, Storage
from roam_lab.ir.rewritten import Origin, Rewritten

COPY = "roam::copy"
"""Target of ops that copy a storage to the host, or back."""


@dataclass(frozen=True, slots=True)
class HostMove:
    """`storage` is on the host between two of its uses: the copy to the host has ended when op `out` begins, the copy
    back starts before op `back` does. Ops by their index in the graph before the move."""

    storage: int
    out: int
    back: int


def with_moves(rewritten: Rewritten, moves: Sequence[HostMove]) -> Rewritten:
    """`rewritten`, whose ops stand in running order, with the two copies of each of `moves` put in. Of several copies
    before one op those to the host come first, in the sequence of `moves`."""
    graph = rewritten.graph
    storages = list(graph.storages)
    begun: dict[int, list[int]] = {}  # storage -> the ops from which on it lies elsewhere, ascending
    names: dict[int, list[int]] = {}
    out: dict[int, list[tuple[int, int]]] = {}
    back: dict[int, list[tuple[int, int]]] = {}
    for move in sorted(moves, key=lambda one: one.back):
        info = graph.storages[move.storage]
        there, again = len(storages), len(storages) + 1
        storages += [Storage(info.bytes, region="host"), replace(info, region="arena")]
        begun.setdefault(move.storage, []).append(move.back)
        names.setdefault(move.storage, [move.storage]).append(again)
    for number, move in enumerate(moves):
        known = begun[move.storage].index(move.back)
        again = names[move.storage][known + 1]
        out.setdefault(move.out, []).append((number, again - 1))
        back.setdefault(move.back, []).append((number, again))
    place: list[int] = []
    ops: list[Op] = []
    origins: list[Origin] = []
    users: dict[int, list[int]] = {}
    copied: dict[int, int] = {}  # storage that came back -> the op that copies it

    def name_at(index: int) -> Callable[[int], int]:
        def name(storage: int) -> int:
            if storage not in begun:
                return storage
            return names[storage][bisect_right(begun[storage], index)]

        return name

    def copy(what: str, source: int, target: int) -> None:
        if storages[target].region != "host":
            copied[target] = len(ops)
        after = tuple(sorted(set(users[source])))
        ops.append(Op(what, COPY, after, (target,), (source,), time_us=0.0, pure=True))
        users[source].append(len(ops) - 1)
        users[target] = [len(ops) - 1]
        origins.append(Origin((), copies=(source, target)))

    for index, (op, origin) in enumerate(zip(graph.ops, rewritten.origins, strict=True)):
        now = name_at(index)
        for number, there in out.get(index, ()):
            source = name_at(index - 1)(moves[number].storage)
            copy(f"to_host_{source}", source, there)
        for _, again in back.get(index, ()):
            copy(f"from_host_{again - 1}", again - 1, again)
        after = {place[other] for other in op.after}
        after.update(copied[one] for one in map(now, op.touches) if one in copied)
        place.append(len(ops))
        new = _named(replace(op, after=tuple(sorted(after))), now)
        for one in (*new.creates, *new.touches):
            users.setdefault(one, []).append(len(ops))
        ops.append(new)
        reads, results, writes = (_each(one, now) for one in (origin.reads, origin.results, origin.writes))
        origins.append(Origin(origin.ops, reads, results, writes))
    return Rewritten(replace(graph, storages=tuple(storages), ops=tuple(ops)), tuple(origins))


def _named(op: Op, name: Callable[[int], int]) -> Op:
    reads, writes = tuple(map(name, op.reads)), tuple(map(name, op.writes))
    kept = tuple(pair for pair in op.reuse if name(pair[1]) == pair[1])
    return replace(op, reads=reads, writes=writes, reuse=kept)


def _each(places: Sequence[int | None], name: Callable[[int], int]) -> tuple[int | None, ...]:
    return tuple(None if one is None else name(one) for one in places)
