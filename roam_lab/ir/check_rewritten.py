"""The independent check of a rewritten graph: in a symbolic run every op must read the values that its origin read.

A symbolic run ("on paper") computes nothing: each value is known by the op that made it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from roam_lab.errors import JudgementError
from roam_lab.ir.graph import Graph, Op
from roam_lab.ir.rewritten import Origin, Rewritten

Value = tuple[Any, ...]
"""A value, known by where it comes from: ("start", storage): there before the step; ("made", op, k): the contents of
the op's k-th created storage; ("written", op, k): what the op left in the k-th storage that it writes."""

TIME_SLACK_US = 1e-3
"""How much less time an op may claim than it must, as times are rounded in files."""


def run_on_paper(graph: Graph) -> tuple[list[list[Value]], dict[int, Value]]:
    """Run `graph` symbolically in captured order. Returns for each op the values that it reads, in the sequence of its
    `reads`, and for each storage the value that it holds at the end."""
    holds = _start(graph)
    seen: list[list[Value]] = []
    for index, op in enumerate(graph.ops):
        seen.append([holds[storage] for storage in op.reads])
        for k, storage in enumerate(op.creates):
            holds[storage] = ("made", index, k)
        for k, storage in enumerate(op.writes):
            holds[storage] = ("written", index, k)
    return seen, holds


def check_rewritten(graph: Graph, rewritten: Rewritten, order: Sequence[int]) -> None:
    """Raise JudgementError unless `rewritten`, run in `order`, does what `graph` does.

    Every op must read the very values that its origin read; ops that are not pure run exactly once; random numbers are
    drawn in captured order; residents and outputs end with the same values. Where `graph` has times, an op has exactly
    the time of its origin, and a fused op at least `Device.fused_share` of the sum of its origins' times.
    """
    new = rewritten.graph
    _check_storages(graph, new)
    if len(rewritten.origins) != len(new.ops):
        raise JudgementError(f"{len(rewritten.origins)} origins are given for {len(new.ops)} ops")
    seen, ends = run_on_paper(graph)
    paper = _Paper(graph, new, seen)
    for index in order:
        paper.run(index, rewritten.origins[index])
    for index, (op, times) in enumerate(zip(graph.ops, paper.times, strict=True)):
        if times > 1 and not op.pure:
            raise JudgementError(f"op {index} ({op.name}) runs {times} times, and is not pure")
        if not times and (op.writes or op.random):
            raise JudgementError(f"op {index} ({op.name}) is dropped, and it writes or draws random numbers")
    for storage, value in ends.items():
        info = graph.storages[storage]
        if (info.output or info.region == "resident") and paper.holds.get(storage) != value:
            raise JudgementError(f"storage {storage} ends with {paper.holds.get(storage)}, not {value}")
    if paper.random != sorted(paper.random):
        raise JudgementError("ops that draw random numbers run in another order than captured")


def _start(graph: Graph) -> dict[int, Value]:
    return {number: ("start", number) for number, storage in enumerate(graph.storages) if storage.always_there}


def _check_storages(graph: Graph, new: Graph) -> None:
    for number, storage in enumerate(graph.storages):
        now = new.storages[number] if number < len(new.storages) else None
        if now is None or (storage.bytes, storage.region, storage.output) != (now.bytes, now.region, now.output):
            raise JudgementError(
                f"storage {number} was changed by the rewriting; new storages come after the graph's own"
            )


class _Paper:
    """One symbolic run of a rewritten graph. `holds`: storage -> its value now; `times`: how often each op of the graph
    before the rewriting has run."""

    def __init__(self, graph: Graph, new: Graph, seen: list[list[Value]]) -> None:
        self._graph, self._new, self._seen = graph, new, seen
        self._timed = any(op.time_us is not None for op in graph.ops)
        self.holds = _start(graph)
        self.times = [0] * len(graph.ops)
        self.random: list[int] = []

    def run(self, index: int, origin: Origin) -> None:
        op = self._new.ops[index]
        what = f"op {index} ({op.name})"
        if origin.copies is not None:
            self._copy(op, origin.copies, what)
            return
        if not origin.ops or not all(0 <= one < len(self._graph.ops) for one in origin.ops):
            raise JudgementError(f"{what} has no op of the graph before as its origin")
        self._check_time(op, origin.ops, what)
        reads, results, writes = list(origin.reads), list(origin.results), list(origin.writes)
        inner: set[Value] = set()
        updates: list[tuple[int, Value]] = []
        for one in origin.ops:
            old = self._graph.ops[one]
            self.times[one] += 1
            if old.random and self.times[one] == 1:
                self.random.append(one)
            for wanted in self._seen[one]:
                storage = _next(reads, f"{what} reads less than its origin {one} ({old.name})")
                if storage is not None and storage not in op.reads:
                    raise JudgementError(f"{what} reads storage {storage}, which it does not list")
                found = (wanted if wanted in inner else None) if storage is None else self.holds.get(storage)
                if found != wanted:
                    raise JudgementError(f"{what}, from op {one}, needs {wanted}, and finds {found} in {storage}")
            for k, made in enumerate(old.creates):
                storage = _next(results, f"{what} keeps fewer results than its origin {one} ({old.name})")
                inner.add(("made", one, k))
                if storage is not None:
                    if self._new.storages[storage].bytes < self._graph.storages[made].bytes:
                        raise JudgementError(f"{what} puts storage {made} into {storage}, which is smaller")
                    updates.append((storage, ("made", one, k)))
            for k, _ in enumerate(old.writes):
                storage = _next(writes, f"{what} writes less than its origin {one} ({old.name})")
                inner.add(("written", one, k))
                if storage is not None:
                    updates.append((storage, ("written", one, k)))
        for storage, value in updates:
            if storage not in (*op.creates, *op.writes):
                raise JudgementError(f"{what} leaves a value in storage {storage}, which it neither makes nor writes")
            self.holds[storage] = value

    def _copy(self, op: Op, copies: tuple[int, int], what: str) -> None:
        source, target = copies
        if source not in op.reads or target not in (*op.creates, *op.writes):
            raise JudgementError(f"{what} copies storage {source} to {target}, and does not list them")
        if self._new.storages[source].bytes != self._new.storages[target].bytes:
            raise JudgementError(f"{what} copies between storages of different sizes")
        if source not in self.holds:
            raise JudgementError(f"{what} copies storage {source}, which holds nothing")
        self.holds[target] = self.holds[source]

    def _check_time(self, op: Op, origins: tuple[int, ...], what: str) -> None:
        parts = [self._graph.ops[one] for one in origins]
        costs, claimed = [part.time_us or 0.0 for part in parts], op.time_us or 0.0
        share = self._graph.device.fused_share if self._graph.device else 1.0
        least = costs[0] if len(costs) == 1 else max(max(costs), share * sum(costs))
        if self._timed and (
            claimed < least - TIME_SLACK_US * len(costs) or (len(costs) == 1 and claimed > least + TIME_SLACK_US)
        ):
            raise JudgementError(f"{what} claims {claimed} us; its origins take {costs}")
        rows = {part.rows for part in parts}
        if len(parts) > 1 and (len(rows) > 1 or None in rows):
            raise JudgementError(f"{what} fuses ops {list(origins)}, which are not of equally many independent rows")


def _next(values: list[int | None], wrong: str) -> int | None:
    if not values:
        raise JudgementError(wrong)
    return values.pop(0)
