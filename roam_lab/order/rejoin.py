"""Parts of multi-tensor calls brought together after ordering, so that fewer kernels are launched."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from functools import partial

from roam_lab.ir import Graph, Order


def rejoin(graph: Graph, order: Order, beside: Collection[int] = ()) -> Order:
    """The same ops, with the parts of a multi-tensor call side by side wherever no peak gets higher for it.

    A stretch of the order is run without the parts that it holds, and then these in captured order, in which the parts
    of a call are neighbours. Stretches are as long as possible: by doubling, then by bisection. Two orders are tried,
    the given one, and one whose end has the parts that free only storages which such parts made (there is most room);
    the one with fewer calls is kept. The live bytes never exceed the peak of `order`; nor do those of the storages
    `beside`, which lie in a region of their own, and those of the others.
    """
    if all(op.call is None for op in graph.ops):
        return order
    most = _peaks(graph, order, beside)
    last = _may_be_last(graph)
    late = (*(index for index in order if index not in last), *(index for index in order if index in last))
    found = [order, _rejoined(graph, order, beside, most), _rejoined(graph, late, beside, most)]
    possible = (one for one in found if not _exceeds(_peaks(graph, one, beside), most))
    return min(possible, key=partial(calls_of, graph))


Bytes = tuple[int, int, int]
"""Of all storages; of those in the arena; of those beside it."""


def _exceeds(found: Bytes, most: Bytes) -> bool:
    return any(one > limit for one, limit in zip(found, most, strict=True))


def _peaks(graph: Graph, order: Order, beside: Collection[int]) -> Bytes:
    walk = _Walk(graph, beside)
    for index in order:
        walk.run(index)
    return walk.peaks


def _may_be_last(graph: Graph) -> set[int]:
    """The parts of calls that may run after everything else and hold no storage alive for it: those that no other op
    waits for, and whose storages other such parts make, as the square root of second moments."""
    found = {index for index, op in enumerate(graph.ops) if op.call is not None and not op.random}
    while True:
        awaited = {other for index, op in enumerate(graph.ops) if index not in found for other in op.after}
        left = {
            index for index in found - awaited if all(graph.creator[storage] in found for storage in graph.uses[index])
        }
        if left == found:
            return found
        found = left


def _rejoined(graph: Graph, order: Order, beside: Collection[int], most: Bytes) -> Order:
    walk = _Walk(graph, beside)
    found: list[int] = []
    start = 0
    while start < len(order):
        end = _longest(walk, order, start, most)
        for index in _moved(graph, order[start:end]):
            walk.run(index)
            found.append(index)
        start = end
    return tuple(found)


def calls_of(graph: Graph, order: Sequence[int]) -> int:
    """Launches of ops in this order, where neighbours that are parts of one call are one."""
    before: int | None = None
    count = 0
    for index in order:
        call = graph.ops[index].call
        count += call is None or call != before
        before = call
    return count


def _longest(walk: _Walk, order: Order, start: int, most: Bytes) -> int:
    """The end of the longest stretch from `start` that was found to be possible; of one op at least."""
    length = 1
    while start + length < len(order) and _is_possible(walk, order[start : start + 2 * length], most):
        length *= 2
    low, high = min(start + length, len(order)), min(start + 2 * length, len(order))
    while low < high:
        middle = (low + high + 1) // 2
        if _is_possible(walk, order[start:middle], most):
            low = middle
        else:
            high = middle - 1
    return low


def _moved(graph: Graph, stretch: Sequence[int]) -> list[int]:
    """The stretch with its parts of calls at the end, in captured order."""
    parts = sorted(index for index in stretch if graph.ops[index].call is not None)
    return [index for index in stretch if graph.ops[index].call is None] + parts


def _is_possible(walk: _Walk, stretch: Sequence[int], most: Bytes) -> bool:
    graph = walk.graph
    parts = {index for index in stretch if graph.ops[index].call is not None}
    if any(index not in parts and not parts.isdisjoint(graph.ops[index].after) for index in stretch):
        return False
    trial = walk.fork()
    for index in _moved(graph, stretch):
        trial.run(index)
        if _exceeds(trial.peaks, most):
            return False
    return True


@dataclass
class _Walk:
    """Bytes alive while ops run one after the other.

    `left`: how many uses of each storage are still to come; `own`: of a fork, the counts that it has changed.
    """

    graph: Graph
    beside: Collection[int]
    inside_bytes: int = 0
    beside_bytes: int = 0
    peaks: Bytes = (0, 0, 0)
    left: list[int] = field(default_factory=list)
    own: dict[int, int] = field(default_factory=dict)
    forked: bool = False

    def __post_init__(self) -> None:
        if not self.left:
            self.left = [len(users) for users in self.graph.users]

    def fork(self) -> _Walk:
        """A walk that goes on from here and leaves this one unchanged; its peaks are those of what it runs itself."""
        return _Walk(self.graph, self.beside, self.inside_bytes, self.beside_bytes, left=self.left, forked=True)

    def run(self, index: int) -> None:
        op = self.graph.ops[index]
        for storage in op.creates:
            self._add(storage, 1)
        now = (self.inside_bytes + self.beside_bytes, self.inside_bytes, self.beside_bytes)
        if _exceeds(now, self.peaks):
            total, inside, beside = map(max, zip(now, self.peaks, strict=True))
            self.peaks = total, inside, beside
        for storage in self.graph.uses[index]:
            left = self.own.get(storage, self.left[storage]) - 1
            if self.forked:
                self.own[storage] = left
            else:
                self.left[storage] = left
            if not left and not self.graph.storages[storage].output:
                self._add(storage, -1)

    def _add(self, storage: int, sign: int) -> None:
        size = sign * self.graph.storages[storage].bytes
        if storage in self.beside:
            self.beside_bytes += size
        else:
            self.inside_bytes += size
