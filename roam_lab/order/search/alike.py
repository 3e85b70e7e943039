"""Chains that are alike: which of them goes first makes no difference, so it may be fixed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Sequence

from roam_lab.order.problem import Problem


def order_alike(
    problem: Problem, runs: Sequence[Sequence[int]], preds: Sequence[set[int]], succs: Sequence[set[int]]
) -> Iterator[tuple[int, int]]:
    """Pairs of runs (first, second) that some order of least peak runs in that sequence, beyond what must be.

    `preds`, `succs`: direct predecessors and followers of each run. Two chains are alike if they hang between the same
    runs and use storages of the same sizes at the same places. Give the place that comes i-th in an order, among the
    same places of k chains alike, to chain i: the order stays legal, and as many storages of each size begin and end at
    every moment as before.
    """
    groups: dict[Hashable, list[list[int]]] = {}
    for chain in _chains(preds, succs):
        ends = frozenset(preds[chain[0]]), frozenset(succs[chain[-1]])
        groups.setdefault((ends, *(len(runs[run]) for run in chain)), []).append(chain)
    for group in groups.values():
        chain_of = {op: number for number, chain in enumerate(group) for run in chain for op in runs[run]}
        last: dict[Hashable, list[int]] = {}
        for chain in group if len(group) > 1 else ():
            kind = _uses(problem, [op for run in chain for op in runs[run]], chain_of)
            if kind in last:
                yield from zip(last[kind], chain, strict=True)
            last[kind] = chain


def _chains(preds: Sequence[set[int]], succs: Sequence[set[int]]) -> Iterator[list[int]]:
    """The longest paths on which nothing joins and nothing leaves; each run is in one."""
    follows = {run: next(iter(after)) for run, after in enumerate(succs) if len(after) == 1}
    follows = {run: after for run, after in follows.items() if len(preds[after]) == 1}
    inner = set(follows.values())
    for run in range(len(preds)):
        if run not in inner:
            chain = [run]
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
