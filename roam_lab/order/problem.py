"""A scheduling problem in plain lists: what the order strategies search on, of a whole graph or of a part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from roam_lab.ir import Graph, live_bytes

Array = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Problem:
    """Ops 0..n-1 with dependences, and the storages (with bytes) that they use.

    A storage is alive from its first user (from the beginning, if `given`) to its last (to the end, if
    `kept`); both ends included. That makes time reversible: `reversed()` is a problem of the same shape.
    `users` stand in captured order, so the first creates a storage that is not given. `storage_of` names each
    storage, `op_of` each op in the graph; `base_bytes` are alive all the time and used by none of these ops.
    """

    after: Sequence[Sequence[int]]
    followers: Sequence[Sequence[int]]
    uses: Sequence[Sequence[int]]
    users: Sequence[Sequence[int]]
    sizes: Sequence[int]
    given: Sequence[bool]
    kept: Sequence[bool]
    op_of: Sequence[int]
    storage_of: Sequence[int]
    base_bytes: int = 0

    def __len__(self) -> int:
        return len(self.after)

    @cached_property
    def _columns(self) -> tuple[Array, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        counts = np.fromiter(map(len, self.users), np.int64, len(self.users))
        users = np.fromiter(chain.from_iterable(self.users), np.int64, int(counts.sum()))
        begins = np.cumsum(counts) - counts
        return users, begins, np.array(self.sizes, np.int64), np.array(self.given, bool), np.array(self.kept, bool)

    def curve(self, order: Sequence[int] | Array) -> Array:
        """Live bytes while each step of `order` runs (for search; plans are judged by ir.live_peak)."""
        count = len(self)
        step_of = np.empty(count, np.int64)
        step_of[np.asarray(order, np.int64)] = np.arange(count)
        users, begins, sizes, given, kept = self._columns
        if not len(sizes):
            return np.full(count, self.base_bytes, np.int64)
        steps = step_of[users]
        starts = np.where(given, 0, np.minimum.reduceat(steps, begins))
        ends = np.where(kept, count, np.maximum.reduceat(steps, begins) + 1)
        return live_bytes(starts, ends, sizes, count) + self.base_bytes

    def peak(self, order: Sequence[int] | Array) -> int:
        """The most bytes alive while any op of `order` runs."""
        return int(self.curve(order).max(initial=self.base_bytes))

    def reversed(self) -> Problem:
        """The same problem with time running backwards: its orders, reversed, are this one's orders."""
        return Problem(
            after=self.followers,
            followers=self.after,
            uses=self.uses,
            users=self.users,
            sizes=self.sizes,
            given=self.kept,
            kept=self.given,
            op_of=self.op_of,
            storage_of=self.storage_of,
            base_bytes=self.base_bytes,
        )

    def part(self, ops: Sequence[int], done: Collection[int]) -> Problem:
        """The problem of running `ops` (of this problem, in a legal order) when `done` have run, the rest later.

        Storages that the part only passes through are summed in its base bytes.
        """
        inside = {op: number for number, op in enumerate(sorted(ops))}
        finished = set(done)
        number: dict[int, int] = {}
        sizes, given, kept, users = [], [], [], []
        base = self.base_bytes
        for storage, group in enumerate(self.users):
            here = [inside[op] for op in group if op in inside]
            before = self.given[storage] or any(op in finished for op in group)
            later = self.kept[storage] or any(op not in finished and op not in inside for op in group)
            if here:
                number[storage] = len(number)
                sizes.append(self.sizes[storage])
                given.append(before)
                kept.append(later)
                users.append(here)
            elif before and later:
                base += self.sizes[storage]
        return Problem(
            after=[[inside[other] for other in self.after[op] if other in inside] for op in inside],
            followers=[[inside[other] for other in self.followers[op] if other in inside] for op in inside],
            uses=[[number[storage] for storage in self.uses[op]] for op in inside],
            users=users,
            sizes=sizes,
            given=given,
            kept=kept,
            op_of=[self.op_of[op] for op in inside],
            storage_of=[self.storage_of[storage] for storage in number],
            base_bytes=base,
        )


def problem_of(graph: Graph) -> Problem:
    """The whole graph as a problem; storages without bytes or creator take no part."""
    number: dict[int, int] = {}
    for storage, info in enumerate(graph.storages):
        if info.bytes and graph.creator[storage] is not None:
            number[storage] = len(number)
    return Problem(
        after=[op.after for op in graph.ops],
        followers=graph.followers,
        uses=[[number[s] for s in uses if s in number] for uses in graph.uses],
        users=[graph.users[storage] for storage in number],
        sizes=[graph.storages[storage].bytes for storage in number],
        given=[False] * len(number),
        kept=[graph.storages[storage].output for storage in number],
        op_of=range(len(graph.ops)),
        storage_of=tuple(number),
    )
