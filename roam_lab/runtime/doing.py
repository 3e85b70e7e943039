"""What an op of a rewritten graph does, in terms of the captured step: its traced nodes, and which storages it uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from torch.fx import Node

from roam_lab.capture import Captured
from roam_lab.errors import JudgementError
from roam_lab.ir import Origin, Rewritten
from roam_lab.runtime.host_copies import check_copy
from roam_lab.runtime.row_chains import chain_of, check_over, scratch_bytes


@dataclass(frozen=True, slots=True)
class Doing:
    """What one op does. `nodes`: the traced nodes, which are run one after the other (none for a copy to or from the
    host). `moved`: captured storage -> the storage of the rewritten graph that has its value instead."""

    nodes: tuple[Node, ...]
    moved: Mapping[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, captured: Captured, origin: Origin) -> Doing:
        """What an op with that origin does."""
        moved: dict[int, int] = {}
        reads, results, writes = iter(origin.reads), iter(origin.results), iter(origin.writes)
        for index in origin.ops:
            op = captured.graph.ops[index]
            for storages, places in ((op.reads, reads), (op.creates, results), (op.writes, writes)):
                for storage in storages:
                    place = next(places)
                    if place is not None and place != storage:
                        moved[storage] = place
        return cls(tuple(captured.step.nodes[index] for index in origin.ops), moved)


def running_nodes(captured: Captured, order: Sequence[int], rewritten: Rewritten | None) -> list[Node]:
    """The traced nodes in the sequence in which a plan runs them; nodes that it runs again are repeated."""
    nodes = captured.step.nodes
    if rewritten is None:
        return [nodes[index] for index in order]
    return [nodes[index] for place in order for index in rewritten.origins[place].ops]


def check_runs(captured: Captured, rewritten: Rewritten) -> None:
    """Raise JudgementError where an op of a rewritten graph cannot be run as its origin says: its result would
    overwrite an operand, which its kernel is not known to allow; or it copies between wrong regions."""
    filled: set[int] = set()
    for index, (op, origin) in enumerate(zip(rewritten.graph.ops, rewritten.origins, strict=True)):
        if origin.copies is not None:
            check_copy(rewritten.graph, index, origin, filled)
            continue
        if len(origin.ops) != 1:
            chain = chain_of(captured, origin, scratch_bytes(rewritten.graph, op, origin))
            check_over(captured, chain, op, origin)
            continue
        old = captured.graph.ops[origin.ops[0]]
        moved = dict(zip(old.reads, origin.reads, strict=True))
        for made, place in zip(old.creates, origin.results, strict=True):
            if place in op.creates or place is None:
                continue
            if not any((made, read) in old.reuse for read, there in moved.items() if there == place):
                raise JudgementError(
                    f"op {index} ({op.name}) puts its result over storage {place}, which its kernel may still read"
                )
