"""Cheapest states: the least memory that any legal order can hold while a given op runs, by minimum cut."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from roam_lab.order.effort import Effort
from roam_lab.order.problem import Array, Problem
from roam_lab.order.reduce.precedence import reach
from roam_lab.solvers.flows import minimum_cut

_SOURCE, _SINK, _FREE = 0, 1, 2

UNLIMITED = 2**62
"""Arcs: more than any search uses."""

SUSPECTS = 6
"""How many ops on each side of a state are tried as being on the wrong side, before the state is taken as it is."""


@dataclass(frozen=True, slots=True)
class State:
    """A cheapest state in which `op` can run: `done` have run, `op` as the last of them, and `bytes` bytes are alive.

    `storages`: those alive while `op` runs; `forced`: they are alive in every state in which it runs. `later`: ops that
    were kept out of `done`; `earlier`: ops that were put into it.
    """

    op: int
    bytes: int
    done: tuple[int, ...]
    storages: tuple[int, ...]
    forced: bool
    later: tuple[int, ...] = ()
    earlier: tuple[int, ...] = ()


@dataclass(eq=False)
class Cuts:
    """Finds the cheapest state of any op of one problem; each cut takes its arcs from the work of `effort`.

    A state is a set of ops closed under predecessors. A storage costs its bytes if it is created (its creator
    is in the set) and not finished with (a user is outside): an arc of its bytes from the creator to the
    storage, and unlimited arcs from there to its users; unlimited arcs from every op to its predecessors keep
    the set closed. (Closure problems: Picard 1976.)
    """

    problem: Problem
    effort: Effort = field(default_factory=lambda: Effort(UNLIMITED))

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
    def arcs(self) -> int:
        """Arcs of the whole network: what one cut costs, roughly."""
        return len(self._arrays[0]) + 2 * len(self._arrays[2])

    def cheapest(self, op: int, later: Sequence[int] = (), earlier: Sequence[int] = ()) -> State:
        """The cheapest state in which `op` runs last, none of `later` has run and all of `earlier` have.

        The smallest such set. `later` and `earlier` must leave one: no op of `later` comes before `op` or `earlier`.
        """
        late, early, use_storage, use_op, creator, sizes, given, kept = self._arrays
        self.effort.work -= self.arcs
        used = list(self.problem.uses[op])
        count = len(self.problem)
        label = np.full(count, _FREE, np.int64)
        for included in (op, *earlier):
            label[list(reach(self.problem.after, included))] = _SOURCE
            label[included] = _SOURCE
        for excluded in (op, *later):
            label[list(reach(self.problem.followers, excluded))] = _SINK
            label[excluded] = _SINK
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
        inside = minimum_cut(tails, heads, capacities, nodes, _SOURCE, _SINK)
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
            later=tuple(later),
            earlier=tuple(earlier),
        )

    def cheapest_below(self, op: int, peak_bytes: int) -> State:
        """The cheapest state of `op` that an order with a peak below `peak_bytes` could pass through.

        The cheapest state of all may be impossible for such an order. Say another op has run in it, and that op's own
        cheapest state before `op` holds `peak_bytes` or more. Then every order with a lower peak runs it after `op`: it
        is kept out, and the cut is made again. An op that has not run, but must have, is put in likewise. (Only some
        ops are tried, see SUSPECTS.) If the state's `bytes` reach `peak_bytes`, no order has a lower peak; in any case
        no order has a peak below the lesser of the two.
        """
        before, behind = reach(self.problem.after, op), reach(self.problem.followers, op)
        state: State | None = self.cheapest(op)
        while state is not None:
            last = state
            for early in last.earlier:
                before |= {early, *reach(self.problem.after, early)}
            for late in last.later:
                behind |= {late, *reach(self.problem.followers, late)}
            state = self._corrected(last, before, behind, peak_bytes) if last.bytes < peak_bytes else None
        return last

    def _corrected(self, state: State, before: set[int], behind: set[int], peak_bytes: int) -> State | None:
        """The cheapest state after one more op was put where it must run, before or after `state.op`; None where no
        such op is found."""
        op, later, earlier = state.op, state.later, state.earlier
        inside = set(state.done)
        for suspect in self._suspects(inside - before - {op}):
            # If it ran before `op`, it would run before all of `later`, too.
            if self.cheapest(suspect, (op, *later)).bytes >= peak_bytes:
                return self.cheapest(op, (*later, suspect), earlier)
        for suspect in self._suspects(set(range(len(self.problem))) - inside - behind):
            if self.cheapest(suspect, (), (op, *earlier)).bytes >= peak_bytes:
                return self.cheapest(op, later, (*earlier, suspect))
        return None

    def _suspects(self, ops: Collection[int]) -> list[int]:
        """The ops of `ops` that allocate most bytes: the likeliest to cost too much; at most SUSPECTS."""
        problem = self.problem
        allocated = {
            op: sum(problem.sizes[s] for s in problem.uses[op] if not problem.given[s] and problem.users[s][0] == op)
            for op in ops
        }
        return sorted((op for op in allocated if allocated[op]), key=lambda op: (-allocated[op], op))[:SUSPECTS]
