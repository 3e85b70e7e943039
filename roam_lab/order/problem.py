"""A scheduling problem in plain lists: what the order strategies search on, of a whole graph or of a part."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain, pairwise

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

    @cached_property
    def before(self) -> list[set[int]]:
        """For each op, the ops that it must follow, creators of what it uses included."""
        found = [set(others) for others in self.after]
        for users, given in zip(self.users, self.given, strict=True):
            if not given:
                for user in users[1:]:
                    found[user].add(users[0])
        return found

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
        """The same problem with time running backwards: its orders, reversed, are this one's orders.

        Who creates a storage is open in it: whichever of its users runs first.
        """
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
        """The problem of running `ops` when `done` have run, the rest later; its ops are numbered as here, ascending.

        Storages that are alive all through the part, and used by none of its ops, are summed in `base_bytes`.
        """
        inside, finished = set(ops), set(done)
        rest = [op for op in range(len(self)) if op not in inside and op not in finished]
        run = [*sorted(finished), *sorted(inside), *rest]
        return self.stretches(run, [0, len(finished), len(finished) + len(inside), len(run)])[1]

    def stretches(self, run: Sequence[int], bounds: Sequence[int]) -> list[Problem]:
        """The problem of each stretch [bounds[i], bounds[i + 1]) of `run`, its ops numbered in the sequence of the run.

        Takes one sweep over all of them: time goes into what each stretch uses, not into the whole for each.
        """
        step_of = {op: step for step, op in enumerate(run)}
        stretch_of = np.repeat(np.arange(len(bounds) - 1), np.diff(bounds)).tolist()
        base = np.zeros(len(bounds), np.int64)
        rows: list[list[tuple[int, list[int], bool, bool]]] = [[] for _ in bounds[1:]]
        for storage, users in enumerate(self.users):
            steps = [step_of[op] for op in users]
            first = 0 if self.given[storage] else min(steps)
            last = len(run) - 1 if self.kept[storage] else max(steps)
            begin, end = stretch_of[first], stretch_of[last]
            base[begin] += self.sizes[storage]
            base[end + 1] -= self.sizes[storage]
            by_stretch: dict[int, list[int]] = {}
            for step in steps:
                by_stretch.setdefault(stretch_of[step], []).append(step)
            for stretch, here in by_stretch.items():
                given = self.given[storage] or begin < stretch
                kept = self.kept[storage] or stretch < end
                rows[stretch].append((storage, here, given, kept))
                base[stretch] -= self.sizes[storage]
                base[stretch + 1] += self.sizes[storage]
        passing = (np.cumsum(base)[:-1] + self.base_bytes).tolist()
        found = []
        for stretch, (low, high) in enumerate(pairwise(bounds)):
            uses: list[list[int]] = [[] for _ in range(high - low)]
            for number, (_, here, _, _) in enumerate(rows[stretch]):
                for step in here:
                    uses[step - low].append(number)
            found.append(
                Problem(
                    after=_inner(self.after, run, step_of, low, high),
                    followers=_inner(self.followers, run, step_of, low, high),
                    uses=uses,
                    users=[[step - low for step in here] for _, here, _, _ in rows[stretch]],
                    sizes=[self.sizes[storage] for storage, _, _, _ in rows[stretch]],
                    given=[given for _, _, given, _ in rows[stretch]],
                    kept=[kept for _, _, _, kept in rows[stretch]],
                    op_of=[self.op_of[op] for op in run[low:high]],
                    storage_of=[self.storage_of[storage] for storage, _, _, _ in rows[stretch]],
                    base_bytes=passing[stretch],
                )
            )
        return found


def _inner(
    edges: Sequence[Sequence[int]], run: Sequence[int], step_of: dict[int, int], low: int, high: int
) -> list[list[int]]:
    return [[step_of[other] - low for other in edges[op] if low <= step_of[other] < high] for op in run[low:high]]


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
