"""Chains that are alike: which of them goes first makes no difference, so it may be fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from roam_lab.order.problem import Problem


def order_alike(problem: Problem) -> Iterator[tuple[int, int]]:
    """Pairs of ops (first, second) that some order of least peak runs in that sequence, beyond what must be.

    `problem`'s dependences must not imply each other. Two chains are alike if they hang between the same ops and use
    storages of the same sizes at the same places. Give the place that comes i-th in an order, among the same places of
    k chains alike, to chain i: the order stays legal, and as many storages of each size begin and end at every moment
    as before.
    """
    groups: dict[Hashable, list[list[int]]] = {}
    for chain in _chains(problem):
        ends = frozenset(problem.after[chain[0]]), frozenset(problem.followers[chain[-1]])
        groups.setdefault((ends, len(chain)), []).append(chain)
    for group in groups.values():
        chain_of = {op: number for number, chain in enumerate(group) for op in chain}
        last: dict[Hashable, list[int]] = {}
        for chain in group if len(group) > 1 else ():
            kind = _uses(problem, chain, chain_of)
            if kind in last:
                yield from zip(last[kind], chain, strict=True)
            last[kind] = chain


def _chains(problem: Problem) -> Iterator[list[int]]:
    """The longest paths on which nothing joins and nothing leaves; each op is in one."""
    follows = {op: later[0] for op, later in enumerate(problem.followers) if len(later) == 1}
    follows = {op: later for op, later in follows.items() if len(problem.after[later]) == 1}
    inner = set(follows.values())
    for op in range(len(problem)):
        if op not in inner:
            chain = [op]
            while chain[-1] in follows:
                chain.append(follows[chain[-1]])
            yield chain


def _uses(problem: Problem, ops: Sequence[int], chain_of: dict[int, int]) -> Hashable:
    """What a chain's ops use, place by place: equal for chains that are alike."""
    places: dict[int, list[int]] = {}
    for place, op in enumerate(ops):
        for storage in problem.uses[op]:
            places.setdefault(storage, []).append(place)
    own = set(ops)
    uses: Counter[Hashable] = Counter()
    for storage, at in places.items():
        outside = tuple(sorted(set(problem.users[storage]) - own))
        shared = any(op in chain_of for op in outside)  # by several chains: it must be the very same storage
        what = (
            (storage,) if shared else (problem.sizes[storage], problem.given[storage], problem.kept[storage], outside)
        )
        uses[what, tuple(at)] += 1
    return frozenset(uses.items())
