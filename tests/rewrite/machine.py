"""Runs graphs, rewritten or not, on real bytes: what an op makes is a digest of the op and of all that it reads."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence

from roam_lab.ir import Graph, Origin, Rewritten, untouched

Reads = dict[int, list[bytes]]
"""Of each op of the graph before: what it read, when it ran first."""


class Machine:
    """Memory and what happened. `offsets`: where storages lie in an arena (None: each in memory of its own). `ran`:
    how often each op of the graph before has run; `differing`: whether one read, later, something else than at first;
    `drawn`: the ops that drew random numbers, in sequence, each as often as it did."""

    def __init__(self, graph: Graph, new: Graph, offsets: Mapping[int, int] | None, expected: Reads | None) -> None:
        self._graph, self._new, self._offsets = graph, new, offsets
        size = max((offsets[s] + new.storages[s].bytes for s in offsets), default=0) if offsets else 0
        self._arena = bytearray(size)
        self._own = {
            s: _filled(f"start {s}", one.bytes) for s, one in enumerate(new.storages) if one.region == "resident"
        }
        self._expected = expected
        self.reads: Reads = {}
        self.ran: Counter[int] = Counter()
        self.drawn: list[int] = []
        self.differing = False

    def ends(self) -> dict[int, bytes]:
        """What residents and outputs hold."""
        storages = self._graph.storages
        return {s: self._load(s) for s, one in enumerate(storages) if one.output or one.region == "resident"}

    def run(self, index: int, origin: Origin) -> None:
        """One op of the graph that runs."""
        if origin.copies is not None:
            source, target = origin.copies
            self._store(target, self._load(source))
            return
        reads, results, writes = iter(origin.reads), iter(origin.results), iter(origin.writes)
        inside: dict[int, bytes] = {}
        stores: list[tuple[int, bytes]] = []
        for one in origin.ops:
            op = self._graph.ops[one]
            found: list[bytes] = []
            for storage in op.reads:
                place = next(reads)
                size = self._graph.storages[storage].bytes
                found.append(inside.get(storage, b"?") if place is None else self._load(place)[:size])
            self.reads.setdefault(one, found)
            wanted = self.reads[one] if self._expected is None else self._expected.get(one)
            self.differing |= found != wanted
            self.ran[one] += 1
            if op.random:
                self.drawn.append(one)
            once = f"draw {len(self.drawn)}" if op.random else "" if op.pure else f"run {self.ran[one]}"
            for verb, storages, places in (("made", op.creates, results), ("written", op.writes, writes)):
                for k, storage in enumerate(storages):
                    place = next(places)
                    head = f"{verb} {one} {k} {once} ".encode()
                    value = _filled(head + b"|".join(found), self._graph.storages[storage].bytes)
                    inside[storage] = value
                    if place is not None:
                        stores.append((place, value))
        for place, value in stores:
            self._store(place, value)

    def _in_arena(self, storage: int) -> bool:
        return self._offsets is not None and not self._new.storages[storage].always_there

    def _load(self, storage: int) -> bytes:
        if not self._in_arena(storage):
            return self._own.get(storage, b"nothing")
        assert self._offsets is not None
        start = self._offsets.get(storage, 0)  # no offset: no bytes
        return bytes(self._arena[start : start + self._new.storages[storage].bytes])

    def _store(self, storage: int, value: bytes) -> None:
        if not self._in_arena(storage):
            self._own[storage] = value
            return
        assert self._offsets is not None
        start = self._offsets.get(storage, 0)
        self._arena[start : start + len(value)] = value


def _filled(what: str | bytes, size: int) -> bytes:
    digest = hashlib.sha256(what if isinstance(what, bytes) else what.encode()).digest()
    return (digest * (size // len(digest) + 1))[:size]


def same_when_run(
    graph: Graph, rewritten: Rewritten, order: Sequence[int], offsets: Mapping[int, int] | None = None
) -> bool:
    """Whether every op reads the bytes that its origin reads, what is not pure runs no more than once, and residents,
    outputs and the sequence of random numbers end alike."""
    before = Machine(graph, graph, None, None)
    for index, origin in enumerate(untouched(graph).origins):
        before.run(index, origin)
    after = Machine(graph, rewritten.graph, offsets, before.reads)
    for index in order:
        after.run(index, rewritten.origins[index])
    again = any(count > 1 and not graph.ops[op].pure for op, count in after.ran.items())
    return not after.differing and not again and after.ends() == before.ends() and after.drawn == before.drawn
