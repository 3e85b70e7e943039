"""Runs: ops that some best order runs one right after the other, joined before any search begins."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from roam_lab.order.problem import Problem


def bits(mask: int) -> Iterator[int]:
    """The numbers of the bits set in `mask`, in ascending order."""
    while mask:
        low = mask & -mask
        yield low.bit_length() - 1
        mask ^= low


def reach_masks(edges: Sequence[Iterable[int]], order: Sequence[int]) -> list[int]:
    """For each op, the set (as bits) of all that can be reached along `edges`; `order` visits heads before tails."""
    masks = [0] * len(edges)
    for op in order:
        mask = 0
        for other in edges[op]:
            mask |= masks[other] | 1 << other
        masks[op] = mask
    return masks


@dataclass(eq=False)
class Sets:
    """A problem in bit sets: ancestors and descendants of each op, users of each storage."""

    problem: Problem
    before: list[int] = field(init=False)
    later: list[int] = field(init=False)
    users: list[int] = field(init=False)

    def __post_init__(self) -> None:
        order = topological(self.problem.after, self.problem.followers)
        self.before = reach_masks(self.problem.after, order)
        self.later = reach_masks(self.problem.followers, order[::-1])
        self.users = [sum(1 << op for op in group) for group in self.problem.users]

    def profile(self, run: Sequence[int], done: int) -> tuple[int, int]:
        """(most, net) bytes above what is alive when `done` have run: while the ops of `run` run, and after them."""
        problem = self.problem
        live = most = 0
        for op in run:
            after = done | 1 << op
            freed = 0
            for storage in problem.uses[op]:
                users = self.users[storage]
                if not (problem.given[storage] or users & done):
                    live += problem.sizes[storage]
                if not problem.kept[storage] and users & after == users:
                    freed += problem.sizes[storage]
            most = max(most, live)
            live -= freed
            done = after
        return most, live


def topological(after: Sequence[Collection[int]], followers: Sequence[Iterable[int]]) -> list[int]:
    """The nodes in a legal order."""
    waiting = list(map(len, after))
    order = [node for node, count in enumerate(waiting) if not count]
    for node in order:
        for follower in followers[node]:
            waiting[follower] -= 1
            if not waiting[follower]:
                order.append(follower)
    return order


def join_runs(sets: Sets) -> list[list[int]]:
    """Ops in runs, such that some order of least peak runs each run without a break.

    Live bytes are a submodular function of the set of finished ops: what a run adds, at its highest and in the end, is
    the less the more has run before. So its most is found where only its ancestors have run, its least where all
    but its descendants have. Two runs v, w that follow one another are joined in two cases, mirror images in time:

    - w is all that waits for v, v never gives back more than it takes, and starting v right before w reaches no higher
      than w itself does. Then v may wait for w: in between, less is alive.
    - v is all that w waits for, w never takes more than it gives back, and running w right after v reaches no higher
      than v itself did. Then w may run at once: from there on, less is alive.
    """
    count = len(sets.problem)
    everything = (1 << count) - 1
    runs: dict[int, list[int]] = {op: [op] for op in range(count)}
    before, later, member = list(sets.before), list(sets.later), [1 << op for op in range(count)]
    preds, succs = list(map(set, sets.problem.after)), list(map(set, sets.problem.followers))

    known: dict[int, tuple[tuple[int, int], tuple[int, int]]] = {}

    def profiles(run: int) -> tuple[tuple[int, int], tuple[int, int]]:
        if run not in known:
            latest = everything & ~later[run] & ~member[run]
            known[run] = sets.profile(runs[run], before[run]), sets.profile(runs[run], latest)
        return known[run]

    def may_join(v: int, w: int) -> bool:
        (first_height, first_end), (first_reached, first_net) = profiles(v)
        (height, net), (reached, _) = profiles(w)
        waits = succs[v] == {w} and first_net >= 0 and first_height - first_net <= reached
        return waits or (preds[w] == {v} and net <= 0 and first_end + height <= first_reached)

    work = list(range(count))[::-1]
    while work:
        v = work.pop()
        if v not in runs:
            continue
        drop_indirect(v, succs, preds, later, member)
        w = None
        for candidate in sorted(succs[v]):
            drop_indirect(candidate, preds, succs, before, member)
            if (len(succs[v]) == 1 or len(preds[candidate]) == 1) and may_join(v, candidate):
                w = candidate
                break
        if w is None:
            continue
        runs[v] += runs.pop(w)
        known.pop(v)
        member[v] |= member[w]
        before[v] = (before[v] | before[w]) & ~member[v]
        later[v] = (later[v] | later[w]) & ~member[v]
        for there, back in ((preds, succs), (succs, preds)):
            for other in there[w]:
                back[other] = back[other] - {w} | {v}
            there[v] = (there[v] | there[w]) - {v, w}
            there[w] = set()
        work += [*sorted(preds[v], reverse=True), v]
    return list(runs.values())


def drop_indirect(
    run: int, there: list[set[int]], back: list[set[int]], beyond: Sequence[int], member: Sequence[int]
) -> None:
    """Drop the edges from `run` (kept in both directions) whose end can be reached through that of another."""
    indirect = 0
    for other in there[run]:
        indirect |= beyond[other]
    for other in [other for other in there[run] if indirect & member[other]]:
        there[run].remove(other)
        back[other].remove(run)


def neighbours(problem: Problem, runs: Sequence[Sequence[int]]) -> tuple[list[set[int]], list[set[int]]]:
    """Of each run, the runs that directly precede it, and those that directly follow."""
    run_of = {op: number for number, run in enumerate(runs) for op in run}
    preds = [{run_of[other] for op in run for other in problem.after[op]} - {n} for n, run in enumerate(runs)]
    succs = [{run_of[other] for op in run for other in problem.followers[op]} - {n} for n, run in enumerate(runs)]
    beyond = reach_masks(succs, topological(preds, succs)[::-1])
    for run in range(len(runs)):
        drop_indirect(run, succs, preds, beyond, [1 << other for other in range(len(runs))])
    return preds, succs
