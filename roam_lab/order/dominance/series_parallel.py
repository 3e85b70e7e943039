"""Series-parallel parts of an order relation: found by joining neighbours, innermost first."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

Node = int
Join = Callable[[list[Node]], None]
"""Called with nodes that were joined; from then on the first of them stands for all."""


class Quotient:
    """A graph of parts. Each step joins parts that stand in series, or side by side between the same others.

    Dependences must not imply each other (`Precedence.after`), and then they never will. A series-parallel
    order ends as one node; what is left of any other is prime. (Valdes, Tarjan and Lawler 1982.)
    """

    def __init__(self, after: Sequence[Iterable[int]]) -> None:
        self.before: dict[Node, set[Node]] = {node: set(others) for node, others in enumerate(after)}
        self.behind: dict[Node, set[Node]] = {node: set() for node in self.before}
        for node, others in self.before.items():
            for other in others:
                self.behind[other].add(node)

    def reduce(self, series: Join, parallel: Join, changed: Iterable[Node] | None = None) -> None:
        """Join until nothing can be joined.

        `series` is called with nodes in the order in which they run, `parallel` with nodes by number.
        """
        dirty = set(self.before if changed is None else changed)
        twins: dict[tuple[frozenset[Node], frozenset[Node]], Node] = {}
        key_of: dict[Node, tuple[frozenset[Node], frozenset[Node]]] = {}
        for node in self.before if changed is not None else ():
            key_of[node] = key = frozenset(self.before[node]), frozenset(self.behind[node])
            twins.setdefault(key, node)
        while dirty:
            touched: set[Node] = set()
            for node in sorted(dirty):
                if node in self.before and not self._follows(node):
                    chain = self._chain(node)
                    if len(chain) > 1:
                        self._join_series(chain)
                        touched |= {chain[0]} | self.behind[chain[0]]
                        series(chain)
            dirty = {node for node in dirty | touched if node in self.before}
            groups: dict[Node, list[Node]] = {}
            for node in sorted(dirty):
                old = key_of.pop(node, None)
                if old is not None and twins.get(old) == node:
                    del twins[old]
            for node in sorted(dirty):
                key_of[node] = key = frozenset(self.before[node]), frozenset(self.behind[node])
                first = twins.setdefault(key, node)
                if first != node:
                    groups.setdefault(first, [first]).append(node)
            dirty = set()
            for _, group in sorted(groups.items()):
                group.sort()
                dirty |= self.before[group[0]] | self.behind[group[0]] | {group[0]}
                for node in group:
                    twins.pop(key_of.pop(node), None)
                self._join_parallel(group)
                parallel(group)
            dirty = {node for node in dirty if node in self.before}
            # Series run from their first node on, so its whole chain must be looked at again.
            dirty |= {self._head(node) for node in dirty}

    def _follows(self, node: Node) -> bool:
        """Whether `node` stands in series behind another."""
        if len(self.before[node]) != 1:
            return False
        (other,) = self.before[node]
        return len(self.behind[other]) == 1

    def _head(self, node: Node) -> Node:
        while self._follows(node):
            (node,) = self.before[node]
        return node

    def _chain(self, node: Node) -> list[Node]:
        chain = [node]
        while len(self.behind[node]) == 1:
            (node,) = self.behind[node]
            if len(self.before[node]) != 1:
                break
            chain.append(node)
        return chain

    def _join_series(self, chain: list[Node]) -> None:
        first, last = chain[0], chain[-1]
        self.behind[first] = self.behind.pop(last)
        for node in self.behind[first]:
            self.before[node].remove(last)
            self.before[node].add(first)
        for node in chain[1:]:
            del self.before[node]
            self.behind.pop(node, None)

    def _join_parallel(self, group: list[Node]) -> None:
        gone = set(group[1:])
        for node in self.before[group[0]]:
            self.behind[node] -= gone
        for node in self.behind[group[0]]:
            self.before[node] -= gone
        for node in gone:
            del self.before[node], self.behind[node]
