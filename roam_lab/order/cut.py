"""Cheapest states: the least memory that any legal order can hold while a given op runs, by minimum cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from roam_lab.order.problem import Array, Problem

_SOURCE, _SINK, _FREE = 0, 1, 2


@dataclass(frozen=True, slots=True)
class State:
    """`done` (with `op` the last of them) have run: the cheapest moment, in bytes, at which `op` can run.

    `storages`: what is alive then; `forced`: no other state could avoid any of them.
    """

    op: int
    bytes: int
    done: tuple[int, ...]
    storages: tuple[int, ...]
    forced: bool


@dataclass(frozen=True, eq=False)
class Cuts:
    """Finds the cheapest state of any op of one problem.

    A state is a set of ops closed under predecessors. A storage costs its bytes if it is created (its creator
    is in the set) and not finished with (a user is outside): an arc of its bytes from the creator to the
    storage, and unlimited arcs from there to its users; unlimited arcs from every op to its predecessors keep
    the set closed. (DESIGN, "Proof"; closure problems: Picard 1976.)
    """

    problem: Problem

    @cached_property
    def _arrays(self) -> tuple[Array, Array, Array, Array, Array, Array, NDArray[np.bool_], NDArray[np.bool_]]:
        problem = self.problem
        late = np.repeat(np.arange(len(problem)), [len(before) for before in problem.after])
        early = np.fromiter(chain.from_iterable(problem.after), np.int64, len(late))
        use_storage = np.repeat(np.arange(len(problem.users)), [len(users) for users in problem.users])
        use_op = np.fromiter(chain.from_iterable(problem.users), np.int64, len(use_storage))
        creator = np.array([users[0] for users in problem.users], np.int64)
        sizes = np.array(problem.sizes, np.int64)
        return (late, early, use_storage, use_op, creator, sizes, np.array(problem.given, bool),
                np.array(problem.kept, bool))  # fmt: skip

    @property
    def work(self) -> int:
        """Arcs of the network: what one cut costs, roughly."""
        return len(self._arrays[0]) + 2 * len(self._arrays[2])

    def cheapest(self, op: int, largest: bool = False) -> State:
        """The cheapest state in which `op` is the last to run: the smallest such set (or the `largest`)."""
        late, early, use_storage, use_op, creator, sizes, given, kept = self._arrays
        used = list(self.problem.uses[op])
        count = len(self.problem)
        label = np.full(count, _FREE, np.int64)
        label[_reach(self.problem.after, op)] = _SOURCE
        label[_reach(self.problem.followers, op)] = _SINK
        label[op] = _SOURCE
        free = np.flatnonzero(label == _FREE)
        label[free] = np.arange(_FREE, _FREE + len(free))

        made = np.where(given, _SOURCE, label[creator])
        awaited = kept.copy()  # by an op that must run later, or by the end
        awaited[use_storage[label[use_op] == _SINK]] = True
        forced = awaited & (made == _SOURCE)
        forced[used] = True
        base = self.problem.base_bytes + int(sizes[forced].sum())

        open_ = np.flatnonzero(~forced & (made != _SINK))
        node = np.full(len(sizes), -1, np.int64)
        node[open_] = np.arange(_FREE + len(free), _FREE + len(free) + len(open_))
        to_user = (node[use_storage] >= 0) & (label[use_op] >= _FREE)
        held = open_[awaited[open_]]
        inner = (label[late] >= _FREE) & (label[early] >= _FREE)
        tails = np.concatenate([made[open_], node[use_storage[to_user]], node[held], label[late[inner]]])
        heads = np.concatenate([node[open_], label[use_op[to_user]], np.full(len(held), _SINK), label[early[inner]]])
        unlimited = int(sizes.sum()) + 1
        capacities = np.concatenate([sizes[open_], np.full(len(tails) - len(open_), unlimited, np.int64)])
        nodes = _FREE + len(free) + len(open_)
        inside = _minimum_cut(tails, heads, capacities, nodes, largest)
        in_state = np.zeros(count, bool)
        in_state[label == _SOURCE] = True
        in_state[free] = inside[label[free]]

        pending = kept.copy()
        pending[use_storage[~in_state[use_op]]] = True
        alive = pending & (given | in_state[creator])
        alive[used] = True
        total = self.problem.base_bytes + int(sizes[alive].sum())
        return State(
            op=op,
            bytes=total,
            done=tuple(np.flatnonzero(in_state).tolist()),
            storages=tuple(np.flatnonzero(alive).tolist()),
            forced=total == base,
        )


def _reach(edges: Sequence[Sequence[int]], start: int) -> list[int]:
    """Everything that can be reached from `start`, itself excluded."""
    seen, stack = {start}, [start]
    while stack:
        for other in edges[stack.pop()]:
            if other not in seen:
                seen.add(other)
                stack.append(other)
    seen.discard(start)
    return list(seen)


def _minimum_cut(tails: Array, heads: Array, capacities: Array, nodes: int, largest: bool) -> NDArray[np.bool_]:
    """Which nodes lie on the source's side of a minimum cut: the smallest such side, or the largest."""
    from ortools.graph.python import max_flow  # here: plans that need no cut start faster without it

    flow = max_flow.SimpleMaxFlow()
    flow.add_arcs_with_capacity(tails, heads, capacities)
    flow.add_arc_with_capacity(_SOURCE, _SINK, 0)  # so that both are nodes of the network, whatever it holds
    status = flow.solve(_SOURCE, _SINK)
    if status != flow.OPTIMAL:
        raise ArithmeticError(f"maximum flow ended with status {status}")
    inside = np.full(nodes, largest)
    inside[flow.get_sink_side_min_cut() if largest else flow.get_source_side_min_cut()] = not largest
    return inside
